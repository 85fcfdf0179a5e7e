"""The JSON files of a run folder: what is not what its writer wrote is named and never trusted."""

import json

import pytest

from unet.training.records import SPEC, STATUS, DamagedRecord, read_record

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "status.json is not valid JSON"),
        ("[1, 2]", "status.json holds a list; expected an object"),
        ('{"progress": 1.5}', "status.json: the field progress is not valid"),
        ('{"progress": true}', "status.json: the field progress is not valid"),
        ('{"seconds_left": Infinity}', "status.json: the field seconds_left is not valid"),
        ('{"heartbeat": "2026-01-01T00:00:00"}', "status.json: the field heartbeat is not valid"),  # of which zone
        ('{"step": -1}', "status.json: the field step is not valid"),
    ],
)
def test_what_no_run_writes_is_refused(tmp_path, content, message):
    file = tmp_path / "status.json"
    file.write_text(content)
    with pytest.raises(DamagedRecord, match=message):
        read_record(file, STATUS)


def test_what_a_run_writes_is_read_and_other_fields_pass(tmp_path):
    status = {"state": "training", "progress": 0.5, "seconds_left": None, "heartbeat": "2026-01-01T00:00:00+00:00"}
    file = tmp_path / "status.json"
    file.write_text(json.dumps({**status, "more": [1]}))
    assert read_record(file, STATUS) == {**status, "more": [1]}


def test_a_settings_object_without_an_augmentation_object_is_refused(tmp_path):
    file = tmp_path / "spec.json"
    file.write_text('{"config": {"augmentation": []}}')
    with pytest.raises(DamagedRecord, match="the field config is not valid"):
        read_record(file, SPEC)
