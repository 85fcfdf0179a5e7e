"""What came of reading an upload: decoded scans, what was left out, and series that can still be asked for."""

from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from unet.language import t, tn
from unet.scans.found import Study, Waiting
from unet.scans.limits import MAX_DECODED
from unet.scans.sandbox import read_study
from unet.scans.scan import IngestError, Scan

MANY_FILES = 10  # from which on a line sums them up


@dataclass(frozen=True)
class Reading:
    """What came of reading an upload, under the ids that Streamlit gave its files.

    Attributes:
        ids: of the files.
        study: what was read at once.
        files: names of the files, and their bytes together.
        chosen: scans that the visitor asked for, by the number of what waited; the latest last.
        further: what was left out of those, a sentence each.
        error: why nothing was read.
    """

    ids: tuple[str, ...]
    study: Study
    files: tuple[list[str], int]
    chosen: dict[int, list[Scan]] = field(default_factory=dict)
    further: tuple[str, ...] = ()
    error: str | None = None

    @property
    def scans(self) -> list[Scan]:
        """All that is decoded."""
        return [*self.study.scans, *(scan for scans in self.chosen.values() for scan in scans)]

    @property
    def problems(self) -> list[str]:
        """A sentence for each file or series that was left out."""
        return [*self.study.problems, *self.further]

    @property
    def waiting(self) -> dict[int, Waiting]:
        """What can be asked for, by number."""
        return {number: one for number, one in enumerate(self.study.waiting) if number not in self.chosen}


def read_all(ids: tuple[str, ...], contents: list[tuple[str, bytes | Path]]) -> Reading:
    """Read an upload.

    Args:
        ids: of its files.
        contents: name, and content or where it lies.
    """
    names = [name for name, _ in contents]
    try:
        size = sum(one.stat().st_size if isinstance(one, Path) else len(one) for _, one in contents)
        return Reading(ids, read_study(contents, visitor=_visit()), (names, size))
    except (IngestError, OSError) as error:
        return Reading(ids, Study([], []), ([], 0), error=_words(error))


def with_waiting(reading: Reading, number: int, contents: list[tuple[str, bytes | Path]]) -> Reading:
    """Decode a series that the visitor asked for; those asked for before go back where all do not fit."""
    wanted, chosen = reading.waiting[number], dict(reading.chosen)
    while (
        chosen and wanted.decoded + sum(scan.voxels.nbytes for scans in chosen.values() for scan in scans) > MAX_DECODED
    ):
        del chosen[next(iter(chosen))]
    st.session_state.reading = replace(reading, chosen=chosen)  # lets go of them before others are read
    try:
        study = read_study(contents, visitor=_visit(), wanted=wanted.keys)
    except (IngestError, OSError) as error:
        return replace(reading, chosen=chosen, further=(*reading.further, f"{wanted.name}: {_words(error)}"))
    if study.scans:
        chosen[number] = study.scans
    return replace(reading, chosen=chosen, further=(*reading.further, *study.problems))


def _words(error: Exception) -> str:
    """Return what to say of an error; that of a file names the server's folders."""
    return str(error) if isinstance(error, IngestError) else t("The files are gone. Drop them again.")


def show_sent(reading: Reading) -> None:
    """Say in one line how much was sent, where the list of the files is long."""
    names, size = reading.files
    if len(names) < MANY_FILES:
        return
    folders = len({PurePosixPath(name).parent for name in names})
    words = t("{count:,} files, {size:,} MB", count=len(names), size=size >> 20)
    if folders > 1:
        words = t("{files} in {folders:,} folders", files=words, folders=folders)
    series = tn("{n} series or picture", "{n} series or pictures", len(reading.scans) + len(reading.waiting))
    st.caption(t("{files}: {series}.", files=words, series=series))


def _visit() -> str:
    """The id of this visit."""
    context = get_script_run_ctx()
    return context.session_id if context else ""
