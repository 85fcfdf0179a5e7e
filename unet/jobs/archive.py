"""A training run as a zip for visitors."""

import io
import json
import zipfile
from pathlib import Path

from unet.jobs.index import Run

LEFT_OUT = ("data", "checkpoint.npz", "process.json", "output.txt")  # of an exported run


def export_zip(run: Run) -> bytes:
    """Return the run folder as a zip for visitors.

    Without uploaded slices, without the checkpoint, which only resumes here, and without the server's folders.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(run.folder.path.rglob("*")):
            inside = path.relative_to(run.folder.path)
            if inside == Path("request.json"):
                request = {**run.request, "data": Path(run.request.get("data") or "").name}
                archive.writestr(f"{run.id}/request.json", json.dumps(request, indent=1))
            elif path.is_file() and inside.parts[0] not in LEFT_OUT and not path.name.startswith("."):
                archive.write(path, Path(run.id) / inside)
    return buffer.getvalue()
