"""Files that strangers send, into Scans.

`read_files` trusts nothing, but hostile bytes may make it use memory and time: `unet.scans.sandbox` runs it in a child
process that has little of either. Libraries are imported only when a file needs them, as the child starts anew for
each upload.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from unet.data.sequences import guess_from_file
from unet.language import t
from unet.scans.contents import Content
from unet.scans.formats.dicom_class import SEARCHED, states_mask
from unet.scans.formats.signatures import FORMATS, PICTURE_KINDS, UNREADABLE, VOLUME_KINDS
from unet.scans.found import Found, Study, Waiting, nothing
from unet.scans.halves import Halves, join_halves, say_what_is_left
from unet.scans.limits import MAX_SCANS
from unet.scans.mapping import reading_order
from unet.scans.scan import IngestError, NoRoomError, Room, Scan
from unet.scans.stacking import stack_pictures
from unet.scans.unpacking import UploadedFile, say_why_passed_over, unpack


def _say_nothing(key: str, name: str) -> None:
    pass


def read_files(
    files: Sequence[tuple[str, bytes | Path]],
    stacked: bool = True,
    starting: Callable[[str, str], None] = _say_nothing,
    left_out: frozenset[str] = frozenset(),
) -> tuple[list[Scan], list[str]]:
    """Read the files of one upload; what waits in `read_study` is left out here, and said."""
    contents = [(name, Content.of(name, source)) for name, source in files]
    study = read_study(contents, stacked, starting, left_out)
    return study.scans, [*study.problems, *(one.sentence for one in study.waiting)]


def read_study(
    files: list[tuple[str, Content]],
    stacked: bool = True,
    starting: Callable[[str, str], None] = _say_nothing,
    left_out: frozenset[str] = frozenset(),
    wanted: frozenset[str] | None = None,
) -> Study:
    """Read the headers of one upload, then decode what is likely needed, as far as it fits.

    Args:
        files: (name, content); names are only for people, for sorting and for guessing the sequence.
        stacked: whether single pictures that look like slices become one scan.
        starting: called with key and name before anything is done with the content of a file.
        left_out: keys of files that are not touched.
        wanted: keys of the only files to read, as `Waiting.keys`.

    Returns:
        The scans, one plain sentence for each file that was left out, and what waits. A file that cannot be read
        never takes the others with it.

    Raises:
        MemoryError: while archives are unpacked, under the limit of the process it runs in.
    """
    room, problems = Room(), []
    unpacked, passed_over = unpack(files, problems, starting, left_out)
    if wanted is not None:
        unpacked, problems = [one for one in unpacked if one.key in wanted], []  # the others have been said before
    rest, halves = join_halves(unpacked)
    masks = [one for one in rest if one.kind == "dicom" and states_mask(one.start(SEARCHED))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's quote values of the header, which may name a patient
        found = _find_series(
            [one for one in rest if one.kind == "dicom" and one not in masks], room, problems, starting
        )
        found += [
            _find_single(one, halves.get(one.key, Halves()), room, starting) for one in rest if one.kind != "dicom"
        ]
        kept = _room_for_masks(found, masks, room)
        room.left -= kept
        scans, waiting = _decode(found, problems)
        room.left += kept
    read = {file for scan in scans for file in scan.files} | {one.name for one in waiting}
    problems += say_what_is_left(unpacked, halves, read)
    scans = stack_pictures(scans) if stacked else scans
    scans = _with_masks(scans, masks, room, problems, starting)
    if stacked and len(scans) > MAX_SCANS:
        problems.append(
            t(
                "{count:,} pictures or series; the first {max_scans} are used. Upload fewer at once.",
                count=len(scans),
                max_scans=MAX_SCANS,
            )
        )
        scans = scans[:MAX_SCANS]
    if not scans and not problems and not waiting:
        problems += map(say_why_passed_over, passed_over[:3])
    return Study(scans, problems, waiting)


def _room_for_masks(found: list[Found], masks: list[UploadedFile], room: Room) -> int:
    """Return how many bytes to keep for masks, which are read last: one on the largest grid each, as far as it fits."""
    largest = max((one.outline.voxels.nbytes for one in found), default=0)
    return max(0, min(len(masks) * largest, room.left // 3, room.left - largest))


def _decode(found: list[Found], problems: list[str]) -> tuple[list[Scan], list[Waiting]]:
    """Decode what was found, the likeliest first; return the scans, and what no longer fits, in their own order."""
    order = list(range(len(found)))
    if len(found) <= MAX_SCANS:  # single pictures may be thousands, and fit
        order = reading_order([one.outline for one in found])
    scans: dict[int, Scan] = {}
    waiting: dict[int, Waiting] = {}
    said: dict[int, list[str]] = {}
    for number in order:
        one, sentences = found[number], said.setdefault(number, [])
        try:
            scans[number] = one.read(sentences)
        except NoRoomError as error:
            waiting[number] = one.wait(error.size)
        except IngestError as error:
            sentences.append(str(error))
        except Exception as error:
            sentences.append(_unforeseen(one.label, error))
    problems += [sentence for number in sorted(said) for sentence in said[number]]
    return [scans[number] for number in sorted(scans)], [waiting[number] for number in sorted(waiting)]


def _find_series(
    files: list[UploadedFile], room: Room, problems: list[str], starting: Callable[[str, str], None]
) -> list[Found]:
    """Read the headers of the DICOM files of an upload, which make series together."""
    if not files:
        return []
    from unet.scans.formats.dicom import list_series

    def about_to_read(number: int) -> None:
        starting(files[number].key, files[number].name)

    found = []
    named = [(file.name, file.source) for file in files]
    for one in list_series(named, problems, _unforeseen, about_to_read):
        keys = tuple(dict.fromkeys(files[frame.file].key for frame in one.frames))
        try:
            outline = one.outline()
        except IngestError as error:
            problems.append(str(error))
            continue
        except Exception as error:
            problems.append(_unforeseen(one.label, error))
            continue
        found.append(Found(outline, keys, one.label, partial(one.read, room, starting=about_to_read)))
    return found


def _with_masks(
    scans: list[Scan],
    masks: list[UploadedFile],
    room: Room,
    problems: list[str],
    starting: Callable[[str, str], None],
) -> list[Scan]:
    """Return scans, volumes of labels among them as masks, and the segmentations and contours drawn on them."""
    from unet.scans.label_maps import as_label_map

    scans = [as_label_map(scan) for scan in scans]
    if not masks:
        return scans
    from unet.scans.formats.dicom_masks import read_masks

    named = [(one.name, one.source) for one in masks]
    found, sentences = read_masks(
        named, scans, room, _unforeseen, lambda number: starting(masks[number].key, masks[number].name)
    )
    problems += sentences
    return [*scans, *found]


def _find_single(file: UploadedFile, halves: Halves, room: Room, starting: Callable[[str, str], None]) -> Found:
    """Return a file that is a scan by itself."""

    def read(_problems: list[str]) -> Scan:
        starting(file.key, file.name)
        return _read_one(file, room, halves)

    return Found(_outline(file), (file.key, *(one.key for one in halves.found)), file.name, read)


def _outline(file: UploadedFile) -> Scan:
    """Return what the header of a NIfTI says; of another file, and of a damaged one, what its name says."""
    if file.kind == "nifti":
        from unet.scans.formats.nifti import outline

        with suppress(Exception):  # said when it is read
            return outline(file.source.start(64 << 10), file.name)
    guess = guess_from_file(file.name)
    return Scan(file.name, "", nothing((1, 1, 1, 1)), (file.name,), 0, (guess,), files=(file.name,))


def _unforeseen(name: str, error: Exception) -> str:
    """What to say of a file that broke its reader in a way nobody thought of; fuzzing makes this raise."""
    if isinstance(error, MemoryError):
        return t(
            "{name}: reading it needs more memory than one upload may use. Upload fewer or smaller slices.", name=name
        )
    return t(
        "{name}: the file is damaged and cannot be read ({error}). Export it again.",
        name=name,
        error=type(error).__name__,
    )


def _read_one(file: UploadedFile, room: Room, halves: Halves) -> Scan:
    """Read a file that is a scan by itself.

    Args:
        file: one that is not an archive or DICOM.
        room: memory that is left.
        halves: the data files that belong to it.
    """
    name, content = file.name, file.content
    if file.kind == "nifti":
        from unet.scans.formats.nifti import read_nifti

        return read_nifti(content, name, room, halves.contents()[0] if halves.found else None)
    if file.kind == "mgh":
        from unet.scans.formats.mgh import read_mgh

        return read_mgh(content, name, room)
    if file.kind in PICTURE_KINDS:
        from unet.scans.formats.pictures import read_picture

        return read_picture(content, name, room)
    if file.kind == "tiff":
        from unet.scans.formats.tiff import read_tiff

        return read_tiff(content, name, room)
    if file.kind in VOLUME_KINDS:
        return _read_volume(file, room, halves)
    if file.kind in UNREADABLE:
        raise IngestError(f"{name}: {t(UNREADABLE[file.kind])}")
    raise IngestError(
        t("{name}: unknown file type; supported: {formats}. Export it as one of these.", name=name, formats=t(FORMATS))
    )


def _read_volume(file: UploadedFile, room: Room, halves: Halves) -> Scan:
    """Read a volume of a format whose values may lie in further files."""
    from unet.scans.formats import afni, metaimage, minc, nrrd, parrec

    if halves.missing:
        raise IngestError(
            t(
                "{name}: {file_format} with an external data file, {missing}, which is not in this upload. Upload both "
                "together.",
                name=file.name,
                file_format=t(VOLUME_KINDS[file.kind or ""]),
                missing=halves.missing[0],
            )
        )
    readers = {
        "nrrd": nrrd.read_nrrd,
        "metaimage": metaimage.read_metaimage,
        "afni": afni.read_afni,
        "parrec": parrec.read_parrec,
        "minc": minc.read_minc,
    }
    return readers[file.kind or ""](file.content, file.name, room, halves.contents())
