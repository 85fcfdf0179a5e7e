"""The process that reads an upload, confined before it looks at a byte.

python -m unet.scans.child FOLDER SECONDS PARENT       what `unet.scans.sandbox` starts
"""

import json
import os
import sys
from pathlib import Path

from unet.language import speak
from unet.scans.confine import confine

READING = "reading.json"  # key and name of the file that is about to be read


def read_in_child(folder: Path, parent: int) -> None:
    """Read what the parent wrote, and leave the result as files; a MemoryError ends the child.

    Args:
        folder: with the task; the result lies there too.
        parent: id of the process that waits for the result; without it no further file is read.
    """
    from unet.scans.reader import read_files
    from unet.scans.scan import Aside

    def starting(key: str, name: str) -> None:
        if sys.platform != "win32" and os.getppid() != parent:  # there the launcher of Python stands between
            sys.exit(1)
        (folder / READING).write_text(json.dumps({"key": key, "name": name}), encoding="utf-8")

    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    speak(task["language"])
    if hasattr(os, "nice"):
        os.nice(task["nice"])
    files = [(name, (folder / str(number)).read_bytes()) for number, name in enumerate(task["names"])]
    scans, problems = read_files(files, task["stacked"], starting, frozenset(task["left_out"]))
    for number, scan in enumerate(scans):
        scan.save(folder, number)
    asides = [problem for problem in problems if isinstance(problem, Aside)]
    result = {"scans": len(scans), "problems": problems, "asides": asides}
    (folder / "result.part").write_text(json.dumps(result), encoding="utf-8")
    (folder / "result.part").rename(folder / "result.json")


if __name__ == "__main__":
    private_folder, its_seconds, its_parent = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    confine(private_folder, its_seconds, its_parent)
    read_in_child(private_folder, its_parent)
