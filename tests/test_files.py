"""Files are replaced as a whole or not at all."""

import os

import pytest

from unet.files import replacing, write_text


def test_text_replaces_what_was_there(tmp_path):
    write_text(tmp_path / "a.json", "old")
    write_text(tmp_path / "a.json", "näw")
    assert (tmp_path / "a.json").read_bytes() == "näw".encode()
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_error_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.json", "old")
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "a.json") as part:
        part.write_text("half")
        raise OSError("No space left")
    assert (tmp_path / "a.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]
