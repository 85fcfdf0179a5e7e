"""The JSON files of a run folder: written whole, and read so that a damaged one is named and never trusted.

A reader of `status.json`, `process.json`, `request.json` or `spec.json` gets the fields below with these types and
ranges, nothing else: fields that are not listed are passed on as they are.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from unet.files import write_text
from unet.language import t

MAX_BYTES = 4_000_000  # a spec.json of 3,929 slices has 20 kB

Check = Callable[[Any], bool]


class DamagedRecord(ValueError):
    """A JSON file that is not what its writer wrote; the message names file and field."""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number of a sensible size; true and false are none.

    >>> [is_number(value) for value in (1, 0.5, float("nan"), float("inf"), True, "1")]
    [True, True, False, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e18 < value < 1e18


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def _process_id(value: Any) -> bool:
    return _count(value) and 0 < value < 2**31


def _moment(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _or_nothing(check: Check) -> Check:
    return lambda value: value is None or check(value)


STATUS: dict[str, Check] = {
    "state": _text,
    "reason": _text,
    "heartbeat": _moment,
    "progress": _share,
    "seconds": is_number,
    "seconds_left": _or_nothing(is_number),
    "epoch": _count,
    "step": _count,
    "best_validation_dice": _share,
    "queued_at": is_number,
}
PROCESS: dict[str, Check] = {
    "runner": lambda value: value in ("local", "ray"),
    "host": _text,
    "pid": _process_id,
    "start": _text,
    "address": _text,
    "job": _text,
}
REQUEST: dict[str, Check] = {
    "title": _text,
    "time": is_number,
    "data": _or_nothing(_text),
    "config": lambda value: isinstance(value, dict),
}
SPEC: dict[str, Check] = {
    "config": lambda value: isinstance(value, dict) and isinstance(value.get("augmentation", {}), dict),
    "training_patients": _texts,
    "validation_patients": _texts,
    "command": _text,
    "commit": _text,
    "started": _text,
    "hardware": _text,
}


def read_record(path: Path, fields: dict[str, Check]) -> dict:
    """Return the content of a JSON file.

    Args:
        path: of the file.
        fields: what each field must be if it is there: one of the tables above.

    Raises:
        DamagedRecord: it is no JSON object, or a field is not what it should be.
        OSError: it cannot be read, or is not there.
    """
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(
            t("{path} is not valid JSON ({error})", path=path.name, error=type(error).__name__)
        ) from None
    if not isinstance(content, dict):
        raise DamagedRecord(
            t("{path} holds a {content}; expected an object", path=path.name, content=type(content).__name__)
        )
    for name, check in fields.items():
        if name in content and not check(content[name]):
            raise DamagedRecord(t("{path}: the field {name} is not valid", path=path.name, name=name))
    return content


def write_json(path: Path, content: dict) -> None:
    """Write a dict so that a reader sees the old or the new file, never half of one."""
    write_text(path, json.dumps(content, indent=1))
