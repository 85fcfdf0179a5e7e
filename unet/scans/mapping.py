"""Which channel of which scan is which sequence, as far as names and headers say."""

from dataclasses import dataclass

import numpy as np

from unet.data.sequences import EXPECTED_MASK, OTHER
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES
from unet.language import t
from unet.scans.scan import Scan

SAME_PLACE = 0.5  # of a voxel: grids closer than this are one grid


@dataclass(frozen=True)
class Channel:
    """One channel of one scan of an upload."""

    scan: int
    channel: int


Mapping = tuple[Channel | None, Channel, Channel | None]  # pre-contrast, FLAIR, post-contrast


def channels(scans: list[Scan]) -> dict[Channel, str]:
    """Return every channel of an upload with a label for people."""
    labels = {}
    for number, scan in enumerate(scans):
        for channel, channel_name in enumerate(scan.channel_names):
            label = scan.name if len(scan.channel_names) == 1 else f"{scan.name} · {channel_name}"
            labels[Channel(number, channel)] = f"{number + 1}. {label}"
    return labels


def suggest(scans: list[Scan]) -> list[Mapping]:
    """Return how the scans may be put together, the likeliest first; each mapping is one picture to segment.

    Three colours are the three sequences. Otherwise names and tags decide, then the order: of three unnamed
    pictures on one grid the second is FLAIR, as in the data set; a picture that fits nowhere is taken for FLAIR.
    Masks are no pictures, unless there is nothing else.
    """
    if not scans:
        return []
    guesses = {
        Channel(number, channel): guess
        for number, scan in enumerate(scans)
        for channel, guess in enumerate(scan.guesses)
    }
    coloured = [number for number, scan in enumerate(scans) if set(SEQUENCE_NAMES) <= set(scan.guesses)]
    mappings: list[Mapping] = []
    for number in coloured:
        pre, flair, post = (Channel(number, scans[number].guesses.index(name)) for name in SEQUENCE_NAMES)
        mappings.append((pre, flair, post))
    if set(guesses.values()) != {EXPECTED_MASK}:
        guesses = {channel: guess for channel, guess in guesses.items() if guess != EXPECTED_MASK}
    rest = {channel: guess for channel, guess in guesses.items() if channel.scan not in coloured}
    for flair in (channel for channel, guess in rest.items() if guess == SEQUENCE_NAMES[FLAIR]):
        pre, post = (_partner(scans, rest, flair, SEQUENCE_NAMES[which]) for which in (PRE_CONTRAST, POST_CONTRAST))
        mappings.append((pre, flair, post))
    if mappings:
        return mappings
    unnamed = [channel for channel, guess in rest.items() if guess is None]
    if len(unnamed) == 3 == len(rest) and all(same_grid(scans[unnamed[0].scan], scans[one.scan]) for one in unnamed):
        pre, flair, post = unnamed
        return [(pre, flair, post)]
    firsts = [Channel(number, 0) for number in range(len(scans)) if Channel(number, 0) in guesses]
    likely = [channel for channel in firsts if guesses[channel] != OTHER] or firsts
    return [(None, channel, None) for channel in likely]


def doubt(scans: list[Scan], mapping: Mapping) -> str:
    """Return why the scan in FLAIR's place may be none, as a sentence; empty where a name or a header states FLAIR."""
    channel = mapping[FLAIR]
    stated = scans[channel.scan].guesses[channel.channel]
    if stated == SEQUENCE_NAMES[FLAIR]:
        return ""
    label = channels(scans)[channel]
    found = (
        t("The name or header of {label} says {stated}", label=label, stated=stated)
        if stated
        else t("Neither the name nor the header of {label} says FLAIR", label=label)
    )
    return t("{found}, but it is used as FLAIR. The mask is meaningless on any other sequence.", found=found)


def suggest_mask(scans: list[Scan], flair: Channel) -> Channel | None:
    """Return the first channel that is named like a mask and lies on FLAIR's grid."""
    named = (Channel(number, 0) for number, scan in enumerate(scans) if EXPECTED_MASK in scan.guesses)
    return next((one for one in named if one != flair and same_grid(scans[flair.scan], scans[one.scan])), None)


def _partner(scans: list[Scan], guesses: dict[Channel, str | None], flair: Channel, name: str) -> Channel | None:
    """The first channel guessed to be that sequence and placed where FLAIR is."""
    fitting = (
        channel for channel, guess in guesses.items() if guess == name and fits(scans[flair.scan], scans[channel.scan])
    )
    return next(fitting, None)


def same_grid(first: Scan, second: Scan) -> bool:
    """Tell whether two scans have their voxels in the same places, as far as their headers say."""
    if first.voxels.shape[:3] != second.voxels.shape[:3]:
        return False
    if first.affine is None or second.affine is None:
        return True
    corners = np.array([[0, 0, 0, 1], [*(size - 1 for size in first.voxels.shape[:3]), 1]]).T
    apart = np.abs(np.linalg.solve(first.affine, second.affine @ corners) - corners)
    return bool(apart.max() <= SAME_PLACE)


def fits(flair: Scan, other: Scan) -> bool:
    """Tell whether another scan can be brought onto FLAIR's grid."""
    return same_grid(flair, other) or (flair.affine is not None and other.affine is not None)
