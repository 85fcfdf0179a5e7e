"""The listening proxy hears what a process asks of the outside."""

import os
import subprocess
import sys

import pytest

from tests.listening_proxy import listening_proxy

pytestmark = pytest.mark.quick


def test_a_request_to_the_outside_is_heard_and_one_to_this_machine_is_not():
    program = "import urllib.request as u; u.urlopen('http://outside.example/x', timeout=5)"
    with listening_proxy() as (environment, requests):
        environment = {**os.environ, **environment}
        assert subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True).returncode == 1
        assert [request.splitlines()[0] for request in requests] == [b"GET http://outside.example/x HTTP/1.1"]
        here = program.replace("outside.example", "127.0.0.1:9")
        assert subprocess.run([sys.executable, "-c", here], env=environment, capture_output=True).returncode == 1
        assert len(requests) == 1
