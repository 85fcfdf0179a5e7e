"""The process that reads an upload, confined before it looks at a byte.

python -m unet.scans.child FOLDER SECONDS PARENT       what `unet.scans.sandbox` starts
"""

import json
import os
import sys
from pathlib import Path

from unet.language import speak
from unet.scans.confine import confine

PATHS = "paths.json"  # of the files outside its folder that the child may read
READING = "reading.json"  # key and name of the file that is about to be read


def read_in_child(folder: Path, parent: int) -> None:
    """Read what the parent wrote, and leave the result as files; a MemoryError ends the child.

    Args:
        folder: with the task; the result lies there too.
        parent: id of the process that waits for the result; without it no further file is read.
    """
    from unet.scans.contents import Content
    from unet.scans.reader import read_study

    def starting(key: str, name: str) -> None:
        if sys.platform != "win32" and os.getppid() != parent:  # there the launcher of Python stands between
            sys.exit(1)
        (folder / READING).write_text(json.dumps({"key": key, "name": name}), encoding="utf-8")

    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    speak(task["language"])
    if hasattr(os, "nice"):
        os.nice(task["nice"])
    sources = zip(task["names"], task["paths"], strict=True)
    files = [
        (name, Content.of(name, Path(path) if path else folder / str(number)))
        for number, (name, path) in enumerate(sources)
    ]
    wanted = None if task["wanted"] is None else frozenset(task["wanted"])
    read_study(files, task["stacked"], starting, frozenset(task["left_out"]), wanted).save(folder)


if __name__ == "__main__":
    private_folder, its_seconds, its_parent = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    confine(private_folder, its_seconds, its_parent, json.loads((private_folder / PATHS).read_text(encoding="utf-8")))
    read_in_child(private_folder, its_parent)
