"""A training run as a zip for visitors."""

import io
import json
import zipfile
from pathlib import Path

from unet.jobs.index import Run
from unet.jobs.limits import check_training_allowed

LEFT_OUT = ("data", "checkpoint.npz", "process.json", "output.txt")
PICTURES = ("preview",)  # slices, and what was predicted for them


def has_uploads(run: Run) -> bool:
    """Return whether the run trains on slices that a visitor uploaded."""
    return run.request.get("data") == str(run.folder.path / "data")


def export_zip(run: Run) -> bytes:
    """Return the run folder as a zip for visitors.

    Without uploaded slices and the pictures of them, without the checkpoint, which only resumes here, and without the
    server's folders.

    Raises:
        JobError: training is off.
    """
    check_training_allowed()
    left_out = (*LEFT_OUT, *(PICTURES if has_uploads(run) else ()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(run.folder.path.rglob("*")):
            inside = path.relative_to(run.folder.path)
            if inside == Path("request.json"):
                request = {**run.request, "data": Path(run.request.get("data") or "").name}
                archive.writestr(f"{run.id}/request.json", json.dumps(request, indent=1))
            elif path.is_file() and inside.parts[0] not in left_out and not path.name.startswith("."):
                archive.write(path, Path(run.id) / inside)
    return buffer.getvalue()
