"""Files that strangers send, into Scans.

`read_files` trusts nothing, but hostile bytes may make it use memory and time: `unet.scans.sandbox` runs it in a child
process that has little of either. Libraries are imported only when a file needs them, as the child starts anew for
each upload.
"""

from collections.abc import Callable

from unet.language import t
from unet.scans.formats.signatures import FORMATS, PICTURE_KINDS, UNREADABLE, VOLUME_KINDS
from unet.scans.halves import Halves, join_halves, say_what_is_left
from unet.scans.limits import MAX_SCANS
from unet.scans.scan import IngestError, Room, Scan
from unet.scans.stacking import stack_pictures
from unet.scans.unpacking import UploadedFile, say_why_passed_over, unpack


def _say_nothing(key: str, name: str) -> None:
    pass


def read_files(
    files: list[tuple[str, bytes]],
    stacked: bool = True,
    starting: Callable[[str, str], None] = _say_nothing,
    left_out: frozenset[str] = frozenset(),
) -> tuple[list[Scan], list[str]]:
    """Read the files of one upload.

    Args:
        files: (name, content); names are only for people, for sorting and for guessing the sequence.
        stacked: whether single pictures that look like slices become one scan.
        starting: called with key and name before anything is done with the content of a file.
        left_out: keys of files that are not touched.

    Returns:
        The scans, and one plain sentence for each file that was left out. A file that cannot be read never takes
        the others with it.

    Raises:
        MemoryError: while archives are unpacked, under the limit of the process it runs in.
    """
    room, problems = Room(), []
    unpacked, passed_over = unpack(files, problems, starting, left_out)
    rest, halves = join_halves(unpacked)
    scans = _read_series([one for one in rest if one.kind == "dicom"], room, problems, starting)
    scans += _read_single([one for one in rest if one.kind != "dicom"], halves, room, problems, starting)
    problems += say_what_is_left(unpacked, halves, {file for scan in scans for file in scan.files})
    scans = stack_pictures(scans) if stacked else scans
    scans = _with_masks(scans, unpacked, room, problems, starting)
    if stacked and len(scans) > MAX_SCANS:
        problems.append(
            t(
                "{count:,} pictures or series; the first {max_scans} are used. Upload fewer at once.",
                count=len(scans),
                max_scans=MAX_SCANS,
            )
        )
        scans = scans[:MAX_SCANS]
    if not scans and not problems:
        problems += map(say_why_passed_over, passed_over[:3])
    return scans, problems


def _read_series(
    files: list[UploadedFile], room: Room, problems: list[str], starting: Callable[[str, str], None]
) -> list[Scan]:
    """Read the DICOM files of an upload, which make series together."""
    if not files:
        return []
    from unet.scans.formats.dicom import read_dicom
    from unet.scans.formats.dicom_class import states_mask

    files = [one for one in files if not states_mask(one.content)]
    named = [(one.name, one.content) for one in files]
    scans, sentences = read_dicom(
        named, room, _unforeseen, lambda number: starting(files[number].key, files[number].name)
    )
    problems += sentences
    return scans


def _with_masks(
    scans: list[Scan],
    files: list[UploadedFile],
    room: Room,
    problems: list[str],
    starting: Callable[[str, str], None],
) -> list[Scan]:
    """Return scans, volumes of labels among them as masks, and the segmentations and contours drawn on them."""
    from unet.scans.formats.dicom_class import states_mask
    from unet.scans.label_maps import as_label_map

    scans = [as_label_map(scan) for scan in scans]
    masks = [one for one in files if one.kind == "dicom" and states_mask(one.content)]
    if not masks:
        return scans
    from unet.scans.formats.dicom_masks import read_masks

    named = [(one.name, one.content) for one in masks]
    found, sentences = read_masks(
        named, scans, room, _unforeseen, lambda number: starting(masks[number].key, masks[number].name)
    )
    problems += sentences
    return [*scans, *found]


def _read_single(
    files: list[UploadedFile],
    halves: dict[str, Halves],
    room: Room,
    problems: list[str],
    starting: Callable[[str, str], None],
) -> list[Scan]:
    """Read files that are a scan each."""
    scans = []
    for one in files:
        starting(one.key, one.name)
        try:
            scans.append(_read_one(one, room, halves.get(one.key, Halves())))
        except IngestError as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(_unforeseen(one.name, error))
    return scans


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
