"""What `python -m unet predict` prints of a result: which file became which sequence, and what came of it."""

from unet.commands.result_names import ResultNames
from unet.data.sequences import EXPECTED_MASK
from unet.data.volume import FLAIR, SEQUENCE_NAMES
from unet.export.result import Result, lesion_size
from unet.language import t, tn
from unet.metrics import volume_dice
from unet.scans.mapping import Channel, Mapping, suggest_mask
from unet.scans.scan import Scan


def origin(scans: list[Scan], mapping: Mapping, expected: Channel | None, names: ResultNames) -> str:
    """Say which file or series became which sequence, and which the expected mask."""
    parts = [
        f"{t(name)}: {t('missing') if channel is None else _file(scans[channel.scan])}"
        for name, channel in zip(SEQUENCE_NAMES, mapping, strict=True)
    ]
    if expected:
        parts.append(f"{t(EXPECTED_MASK)}: {_file(scans[expected.scan])}")
    return t("{stem}: {sequences}", stem=names.stem, sequences="; ".join(parts))


def summary(result: Result, names: ResultNames) -> list[str]:
    """Return what to say of one result: a line, or one for each of several picture files."""
    if names.files:
        return [
            t(
                "{file}: {pixels} pixels at threshold {threshold}",
                file=file,
                pixels=int(plane.sum()),
                threshold=result.threshold,
            )
            for file, plane in zip(names.files, result.mask, strict=True)
        ]
    voxels, millilitres = lesion_size(result)
    size = "" if millilitres is None else f", {millilitres:.2f} mL"
    lines = [
        t(
            "{stem}: {voxels} voxels{size} at threshold {threshold}",
            stem=names.stem,
            voxels=voxels,
            size=size,
            threshold=result.threshold,
        )
    ]
    volume = result.volume
    if volume.has_mask.any():
        dice = volume_dice(result.mask, volume.expected_mask, volume.has_mask)
        lines.append(t("{stem}: volume Dice {dice:.3f} against the expected mask", stem=names.stem, dice=dice))
    return lines


def unused(scans: list[Scan], mappings: list[Mapping]) -> list[str]:
    """Return a line for each file or series that is no part of any picture, with what it is taken for."""
    masks = [suggest_mask(scans, mapping[FLAIR]) for mapping in mappings]
    used = {channel.scan for channel in (*(one for mapping in mappings for one in mapping), *masks) if channel}
    return [
        t(
            "not used: {file} ({guess})",
            file=_file(scan),
            guess=", ".join(dict.fromkeys(t(guess) if guess else t("sequence not stated") for guess in scan.guesses)),
        )
        for number, scan in enumerate(scans)
        if number not in used
    ]


def _file(scan: Scan) -> str:
    """Name a scan, and the files of a series."""
    if scan.file_format != "DICOM":
        return scan.name
    return tn(
        "{name} ({n} file, {first})",
        "{name} ({n} files, {first} …)",
        len(scan.files),
        name=scan.name,
        first=scan.files[0],
    )
