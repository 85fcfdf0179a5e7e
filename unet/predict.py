"""`python -m unet predict`: what the Upload page does, from the command line."""

import argparse
from pathlib import Path

from unet import overlay
from unet.data import FLAIR
from unet.export import (
    Result,
    can_be_dicom_seg,
    lesion_size,
    mask_pictures,
    overlay_pictures,
    to_csv,
    to_dicom_seg,
    to_nifti,
)
from unet.inference import Segmenter
from unet.mapping import build_volume, suggest
from unet.report import to_html
from unet.sandbox import read_upload
from unet.scan import IngestError

FORMATS = ("png", "nifti", "dicom-seg", "csv", "html")


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a list with commas.

    Raises:
        ArgumentTypeError: one of them is unknown.

    >>> parse_formats("png,csv")
    ('png', 'csv')
    """
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if not chosen or set(chosen) - set(FORMATS):
        raise argparse.ArgumentTypeError(f"{text!r}; expected some of {', '.join(FORMATS)}")
    return chosen


def predict(
    segmenter: Segmenter, paths: list[Path], output: Path, formats: tuple[str, ...], threshold: float
) -> tuple[list[str], list[str]]:
    """Read files, segment them and write the results.

    Files given together are one upload, as on the page: series and sequences are told apart and put together. Each
    folder is an upload of its own.

    Args:
        segmenter: ready to run.
        paths: files, zips or folders.
        output: folder for the results; made if it is not there.
        formats: of `FORMATS`.
        threshold: from which probability a voxel counts.

    Returns:
        One line for each picture, and one for each file that could not be used.
    """
    lines, problems = [], []
    output.mkdir(parents=True, exist_ok=True)
    for name, files in _uploads(paths, problems):
        try:
            scans, sentences = read_upload(files)
        except (IngestError, OSError) as error:
            problems.append(str(error))
            continue
        problems += sentences
        for number, mapping in enumerate(suggest(scans), start=1):
            flair = scans[mapping[FLAIR].scan]
            try:
                volume, notes = build_volume(scans, mapping)
                mask = segmenter.segment(volume.images).mask(threshold)
                result = Result(flair, volume, mask, threshold, segmenter.weights)
                stem = f"{name}_{number}" if flair.file_format == "DICOM" else _stem(flair.files[0])
                lines += _write(result, output, stem, formats, (*flair.notes, *notes))
                if "dicom-seg" in formats and not can_be_dicom_seg(flair):
                    problems.append(f"{stem}: no DICOM-SEG, as only DICOM slices with UIDs and positions can have one")
            except IngestError as error:
                problems.append(str(error))
    return lines, problems


def _uploads(paths: list[Path], problems: list[str]):
    """Yield (name, files) for the files given by name together, and for each folder."""
    loose = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            yield path.resolve().name, [(str(file.relative_to(path)), file.read_bytes()) for file in inside]
        elif path.is_file():
            loose.append(path)
        else:
            problems.append(f"{path} is not there")
    if loose:
        yield "series", [(path.name, path.read_bytes()) for path in loose]


def _stem(name: str) -> str:
    """A file's name without its folder and endings.

    >>> _stem("a/flair.nii.gz"), _stem("v1.2.png")
    ('flair', 'v1.2')
    """
    name = Path(name).name.removesuffix(".gz")
    return Path(name).stem if Path(name).suffix else name


def _write(result: Result, output: Path, stem: str, formats: tuple[str, ...], notes: tuple[str, ...]) -> list[str]:
    """Write one result in every format; return what to say of it."""
    scan = result.scan
    single_files = len(scan.files) == len(result.mask) and scan.file_format != "DICOM"
    names = [_stem(file) for file in scan.files] if single_files else _numbered(stem, len(result.mask))
    if "png" in formats:
        for name, mask, picture in zip(names, mask_pictures(result), overlay_pictures(result), strict=True):
            overlay.write_png(output / f"{name}_predicted_mask.png", mask)
            overlay.write_png(output / f"{name}_overlay.png", picture)
    if "nifti" in formats:
        (output / f"{stem}_predicted_mask.nii.gz").write_bytes(to_nifti(result))
    if "csv" in formats:
        (output / f"{stem}_slices.csv").write_text(to_csv(result), encoding="utf-8")
    if "html" in formats:
        (output / f"{stem}_report.html").write_text(to_html(result, notes), encoding="utf-8")
    if "dicom-seg" in formats and can_be_dicom_seg(scan):
        (output / f"{stem}_seg.dcm").write_bytes(to_dicom_seg(result))
    if single_files:
        files = [Path(file).name for file in scan.files]
        return [
            f"{file}: {int(plane.sum())} pixels at threshold {result.threshold}"
            for file, plane in zip(files, result.mask, strict=True)
        ]
    voxels, millilitres = lesion_size(result)
    size = "" if millilitres is None else f", {millilitres:.2f} mL"
    return [f"{stem}: {voxels} voxels{size} at threshold {result.threshold}"]


def _numbered(stem: str, count: int) -> list[str]:
    return [stem] if count == 1 else [f"{stem}_{number:03d}" for number in range(1, count + 1)]
