"""What hostile uploads cost the server, measured through the page: time, memory, and words.

    python -m tests.measure_uploads [PART OF A NAME]

Each upload goes through "Your own MRI" up to its Segment button. The time is the processor's, of the page and of the
readers together; the memory is the highest of this process above what it held before, less the decoded bytes of the
scans and of the volume. After each upload a good one must work.
"""

import resource
import sys
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests import hostile

MB = 1 << 20
MAX_SECONDS, MAX_MEMORY = 5.0, 300  # MB
[GOOD] = hostile.good()["png"]


def processor_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def memory(field: str) -> float:
    """A size of this process from the kernel, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def in_session(app: AppTest, name: str):
    """What the page keeps under a name, or None; AppTest's state has no `get`."""
    return app.session_state[name] if name in app.session_state else None  # noqa: SIM401


def drop(app: AppTest, files: hostile.Files) -> dict:
    """Drop files on the page; return what they cost and what the page said."""
    app.file_uploader[0].set_value([(name or "a", content, "application/octet-stream") for name, content in files])
    before, used, started = memory("VmRSS"), processor_seconds(), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the highest from here on
    app.run()
    peak = memory("VmHWM")
    reading, kept = in_session(app, "reading"), in_session(app, "upload_volume")
    scans = reading.scans if reading else []
    decoded = sum(scan.voxels.nbytes for scan in scans) + (kept[1][0].images.nbytes if kept else 0)
    return {
        "seconds": processor_seconds() - used,
        "wall": time.perf_counter() - started,
        "decoded": decoded / MB,
        "above": max(0.0, peak - before - decoded / MB),
        "scans": len(scans),
        "raised": bool(app.exception),
        "said": " ".join(str(one.value) for one in (*app.error, *app.text)),
    }


def main() -> None:
    app = AppTest.from_file("../pages/upload.py", default_timeout=300)
    app.query_params["simple_viewer"] = "true"
    app.run()
    drop(app, [GOOD])  # what is imported once
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    wrong, slowest, largest, count = [], 0.0, 0.0, 0
    for name, (_, files) in hostile.corpus().items():
        if part not in name:
            continue
        cost = drop(app, files)
        good = drop(app, [GOOD])
        works = good["scans"] == 1 and not good["raised"]
        fine = cost["seconds"] <= MAX_SECONDS and cost["above"] <= MAX_MEMORY and not cost["raised"] and works
        if not fine:
            wrong.append(name)
        count, slowest, largest = count + 1, max(slowest, cost["seconds"]), max(largest, cost["above"])
        print(
            f"{'' if fine else '!':1} {name:36} {cost['scans']:4} scans {cost['seconds']:6.2f} s ({cost['wall']:5.1f}) "
            f"{cost['decoded']:6.0f} MB + {cost['above']:4.0f}  {cost['said'][:90]}",
            flush=True,
        )
    print(f"\n{count} uploads; slowest {slowest:.2f} s; most above the decoded size {largest:.0f} MB")
    print(f"past a limit, raised, or the next upload failed: {', '.join(wrong) or 'none'}")


if __name__ == "__main__":
    main()
