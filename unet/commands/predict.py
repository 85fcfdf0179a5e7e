"""`python -m unet predict`: what the Upload page does, from the command line."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from unet import overlay
from unet.commands.arguments import add_engine, add_weights, share
from unet.commands.result_lines import origin, summary, unused
from unet.commands.result_names import ResultNames, stem_of
from unet.data.sequences import EXPECTED_MASK
from unet.data.slice_files import DataError
from unet.data.volume import FLAIR, SEQUENCE_NAMES, Volume
from unet.export.dicom_seg import can_be_dicom_seg
from unet.export.formats import FORMAT_NAMES, FORMATS, Options
from unet.export.result import Result
from unet.inference.segmenter import Segmenter, quick_precision
from unet.language import t
from unet.scans.assemble import build_volume_and_mask
from unet.scans.domain_check import compare, warnings_of
from unet.scans.drawn_skull import DRAWN, network_images
from unet.scans.evidence import questions
from unet.scans.mapping import Mapping, left_out, masks_left_out, suggest, suggest_mask
from unet.scans.movement import apart, moved_onto_flair, say_apart
from unet.scans.sandbox import read_study
from unet.scans.scan import Aside, IngestError, Scan
from unet.scans.slice_classifier import SliceKind, classify, doubts, is_stripped
from unet.weights.network import find_weights


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("predict", help=t("masks of your own DICOM, NIfTI, TIFF, PNG or JPEG"))
    command.add_argument("paths", nargs="+", type=Path, metavar="FILE", help=t("files, zips or folders"))
    command.add_argument("--output", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--format",
        type=parse_formats,
        default="png",
        help=t("separated by commas: {format_names}", format_names=", ".join(FORMAT_NAMES)),
    )
    command.add_argument(
        "--align", action="store_true", help=t("move sequences on which the head lies elsewhere onto FLAIR")
    )
    command.add_argument(
        "--name-patient",
        action="store_true",
        help=t("write what the series says of patient and study into the DICOM-SEG, so that an archive files it there"),
    )
    command.add_argument(
        "--decimal-comma",
        action="store_true",
        help=t("CSV for spreadsheets that write 1,5, as German and French ones: columns end with semicolons"),
    )
    command.add_argument("--threshold", type=share, help=t("from 0 to 1; default: the threshold of the weights"))
    add_weights(command)
    add_engine(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the masks of files, and print a line for each.

    Raises:
        DataError: something that should be segmented was not; the results of the others are written.
    """
    weights = find_weights(args.weights)
    segmenter = Segmenter(weights, args.engine, quick_precision(weights))  # as the page, voxel by voxel
    threshold = weights.threshold if args.threshold is None else args.threshold
    options = Options(keep_patient=args.name_patient, decimal_comma=args.decimal_comma)
    wanted = Wanted(args.output, args.format, threshold, args.align, options)
    lines, problems = predict(segmenter, args.paths, wanted)
    print("\n".join(lines))
    for problem in problems:
        print(problem, file=sys.stderr)
    failures = [problem for problem in problems if not isinstance(problem, Aside)]
    if failures:
        raise DataError(
            t(
                "{count} of the files could not be used; the others are in {output}",
                count=len(failures),
                output=args.output,
            )
        )


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a list with commas.

    Raises:
        ArgumentTypeError: one of them is unknown.

    >>> parse_formats("png,csv")
    ('png', 'csv')
    """
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if not chosen or set(chosen) - set(FORMAT_NAMES):
        raise argparse.ArgumentTypeError(
            t("{text!r}; expected some of {format_names}", text=text, format_names=", ".join(FORMAT_NAMES))
        )
    return chosen


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Attributes:
        output: folder for the results; made if it is not there.
        formats: of `FORMAT_NAMES`.
        threshold: from which probability a voxel counts.
        align: whether sequences on which the head lies elsewhere are moved onto FLAIR.
        options: what the files shall hold; notes are added.
    """

    output: Path
    formats: tuple[str, ...]
    threshold: float
    align: bool = False
    options: Options = field(default_factory=Options)


def predict(segmenter: Segmenter, paths: list[Path], wanted: Wanted) -> tuple[list[str], list[str]]:
    """Read files, segment them and write the results.

    Files given together are one upload, as on the page: series and sequences are told apart and put together. Each
    folder is an upload of its own.

    Args:
        segmenter: ready to run.
        paths: files, zips or folders.
        wanted: where to, and in which formats.

    Returns:
        Lines that say which file became which sequence, what came of it and how it is unlike the training set; and one
        for each file that could not be used, an `Aside` where it holds nothing to segment.
    """
    lines, problems, taken = [], [], set()
    wanted.output.mkdir(parents=True, exist_ok=True)
    for name, files in _uploads(paths, problems):
        try:
            study = read_study(files)
        except (IngestError, OSError) as error:
            problems.append(str(error))
            continue
        scans = study.scans
        problems += study.problems
        for one in study.waiting:  # a series that the network has no use for is no failure
            (problems if set(SEQUENCE_NAMES) & set(one.guesses) else lines).append(one.sentence)
        pictures = [one for one in suggest(scans) if not _is_mask(scans, one)]
        if scans and not pictures:
            problems.append(t("{name}: only masks were found. Give them together with their pictures.", name=name))
        for number, mapping in enumerate(pictures, start=1):
            flair = scans[mapping[FLAIR].scan]
            stem = f"{name}_{number}" if flair.file_format == "DICOM" else stem_of(flair.files[0])
            try:
                names, said = _segment(segmenter, wanted, scans, mapping, stem, taken)
            except IngestError as error:
                problems.append(str(error))
                continue
            lines += said
            if "dicom-seg" in wanted.formats and not can_be_dicom_seg(flair):
                problems.append(
                    t(
                        "{stem}: no DICOM-SEG was written. It needs DICOM slices with UIDs and positions.",
                        stem=names.stem,
                    )
                )
        lines += unused(scans, pictures)
    return lines, problems


def _segment(
    segmenter: Segmenter, wanted: Wanted, scans: list[Scan], mapping: Mapping, stem: str, taken: set[str]
) -> tuple[ResultNames, list[str]]:
    """Segment one picture and write its results; return how they are called, and what there is to say of it.

    Raises:
        IngestError: the sequences do not fit together, or the picture is too small or too big.
    """
    flair = scans[mapping[FLAIR].scan]
    expected = suggest_mask(scans, mapping[FLAIR])
    volume, notes, refusal = build_volume_and_mask(scans, mapping, expected)
    volume, moved = moved_onto_flair(volume) if wanted.align else (volume, [])
    kinds = classify(volume.images)
    seen = replace(volume, images=network_images(volume.images, kinds))
    mask = segmenter.segment(seen.images).mask(wanted.threshold)
    result = Result(flair, volume, mask, wanted.threshold, segmenter.weights, segmenter.engine_name)
    names = ResultNames.of(flair, stem, taken)
    warnings = [*_warnings(scans, mapping, volume, seen, kinds), *filter(None, [refusal])]
    noted = replace(wanted.options, notes=(*flair.notes, *notes, *moved, *warnings))
    _write(result, wanted.output, names, wanted.formats, noted)
    sentences = (f"{names.stem}: {sentence}" for sentence in (*moved, *warnings))
    used = None if refusal else expected
    return names, [origin(scans, mapping, used, names), *summary(result, names), *sentences]


def _is_mask(scans: list[Scan], mapping: Mapping) -> bool:
    """Tell whether a mask stands in FLAIR's place, as there is nothing else."""
    return EXPECTED_MASK in scans[mapping[FLAIR].scan].guesses


def _warnings(
    scans: list[Scan], mapping: Mapping, volume: Volume, seen: Volume, kinds: dict[int, SliceKind]
) -> list[str]:
    """Return what speaks against a picture, a sentence each."""
    moved = say_apart(apart(volume), volume)
    return [
        *questions(scans, mapping),
        *left_out(scans, mapping),
        *masks_left_out(scans, mapping[FLAIR]),
        *moved,
        *([t("Give --align to move it onto FLAIR, or the FLAIR file alone.")] if moved else []),
        *doubts(kinds),
        *([t(DRAWN)] if is_stripped(kinds) else []),
        *warnings_of(compare(seen), scans[mapping[FLAIR].scan]),
    ]


def _uploads(paths: list[Path], problems: list[str]) -> Iterator[tuple[str, list[tuple[str, Path]]]]:
    """Yield (name, files with where they lie) for the files given by name together, and for each folder."""
    loose = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            yield path.resolve().name, [(str(file.relative_to(path)), file) for file in inside]
        elif path.is_file():
            loose.append(path)
        else:
            problems.append(t("{path} does not exist", path=path))
    if loose:
        yield "series", [(path.name, path) for path in loose]


def _write(result: Result, folder: Path, names: ResultNames, formats: tuple[str, ...], options: Options) -> None:
    """Write one result in every format that it can have."""
    for kind in FORMATS:
        if kind.name not in formats or not kind.fits(result.scan):
            continue
        written = kind.write(result, options)
        if isinstance(written, list):
            for name, picture in zip(names.slices, written, strict=True):
                overlay.write_png(folder / (name + kind.ending), picture)
        elif isinstance(written, str):
            (folder / (names.stem + kind.ending)).write_text(written, encoding="utf-8")
        else:
            (folder / (names.stem + kind.ending)).write_bytes(written)
