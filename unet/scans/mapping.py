"""Which channel of which scan is which sequence, as far as names and headers say."""

from dataclasses import dataclass

from unet.data.sequences import EXPECTED_MASK, OTHER
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES
from unet.language import t
from unet.scans.examinations import Examinations
from unet.scans.grids import MIN_OVERLAP, covered, covers, fits, same_grid, touches
from unet.scans.scan import Scan


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
    pictures = {channel: guess for channel, guess in guesses.items() if not scans[channel.scan].is_mask}
    guesses = pictures or guesses
    rest = {channel: guess for channel, guess in guesses.items() if channel.scan not in coloured}
    flairs = [channel for channel, guess in rest.items() if guess == SEQUENCE_NAMES[FLAIR]]
    together = Examinations(scans, [channel.scan for channel in flairs])
    for flair in sorted(flairs, key=lambda channel: scans[channel.scan].plane not in ("axial", None)):
        pre, post = (
            _partner(scans, together, rest, flair, SEQUENCE_NAMES[which]) for which in (PRE_CONTRAST, POST_CONTRAST)
        )
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


def reading_order(scans: list[Scan]) -> list[int]:
    """Return the numbers of scans as they are likely needed: each picture to segment, masks, the unnamed, the rest."""
    flair_first = (FLAIR, PRE_CONTRAST, POST_CONTRAST)
    needed = [mapping[which] for mapping in suggest(scans) for which in flair_first]
    masks = [number for number, scan in enumerate(scans) if EXPECTED_MASK in scan.guesses]
    unnamed = [number for number, scan in enumerate(scans) if None in scan.guesses]
    stated = [number for number, scan in enumerate(scans) if set(SEQUENCE_NAMES) & set(scan.guesses)]
    order = (*(channel.scan for channel in needed if channel), *masks, *stated, *unnamed, *range(len(scans)))
    return list(dict.fromkeys(order))


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
    """Return the first channel that is named like a mask and may be FLAIR's, one drawn on its grid before others."""
    together, picture = _examinations(scans), scans[flair.scan]
    named = [
        Channel(number, scan.guesses.index(EXPECTED_MASK))
        for number, scan in enumerate(scans)
        if EXPECTED_MASK in scan.guesses and not _why_no_mask(scans, flair, number, together)
    ]
    return min(
        (one for one in named if one != flair), key=lambda one: not same_grid(picture, scans[one.scan]), default=None
    )


def mask_choices(scans: list[Scan], mapping: Mapping) -> list[Channel]:
    """Return the channels that a visitor may choose as expected mask."""
    together, flair = _examinations(scans), mapping[FLAIR]
    return [
        Channel(number, channel)
        for number, scan in enumerate(scans)
        if not _why_no_mask(scans, flair, number, together)
        for channel in range(len(scan.channel_names))
        if Channel(number, channel) not in mapping
    ]


def _why_no_mask(scans: list[Scan], flair: Channel, number: int, together: Examinations) -> str:
    """Return why a scan, by number, cannot be FLAIR's mask, as a sentence; empty where it can."""
    picture, mask, label = scans[flair.scan], scans[number], f"{number + 1}. {scans[number].name}"
    one, other = picture.source or {}, mask.source or {}
    drawn_on_it = one.get("series") in other.get("drawn_on", ()) if one.get("series") else False
    places = one.get("frame_of_reference"), other.get("frame_of_reference")
    if not drawn_on_it and all(places) and places[0] != places[1]:
        return t("Not used as mask: {label} lies in another frame of reference than FLAIR.", label=label)
    if not drawn_on_it and not (all(places) or _may_hold(scans, flair.scan, number, together)):
        return t("Not used as mask: {label} is of another examination than FLAIR.", label=label)
    if not fits(picture, mask):
        return t("Not used as mask: {label} has another size than FLAIR, and the files hold no positions.", label=label)
    if not touches(picture, mask):
        return t("Not used as mask: {label} lies outside the FLAIR volume.", label=label)
    return ""


def masks_left_out(scans: list[Scan], flair: Channel) -> list[str]:
    """Return why masks of an upload are not FLAIR's, a sentence for each."""
    together = _examinations(scans)
    named = [number for number, scan in enumerate(scans) if EXPECTED_MASK in scan.guesses and number != flair.scan]
    return list(filter(None, (_why_no_mask(scans, flair, number, together) for number in named)))


def _may_hold(scans: list[Scan], flair: int, mask: int, together: Examinations) -> bool:
    """Tell whether a mask may be of FLAIR's examination: it is, or the pictures of the upload are all of this one."""
    if together.hold(flair, mask):
        return True
    pictures = [number for number, scan in enumerate(scans) if not scan.is_mask]
    return all(together.hold(flair, number) for number in pictures)


def left_out(scans: list[Scan], mapping: Mapping) -> list[str]:
    """Return why scans that state a missing sequence are not used, a sentence for each."""
    together, labels, reasons = _examinations(scans), channels(scans), []
    flair = scans[mapping[FLAIR].scan]
    missing = {SEQUENCE_NAMES[number] for number, channel in enumerate(mapping) if channel is None}
    for channel, label in labels.items():
        scan = scans[channel.scan]
        if channel in mapping or scan.guesses[channel.channel] not in missing:
            continue
        if not together.hold(mapping[FLAIR].scan, channel.scan):
            reasons.append(t("{label} is of another examination than FLAIR and is left out.", label=label))
        elif not fits(flair, scan):
            reasons.append(
                t("{label} has another size than FLAIR, and the files hold no positions. It is left out.", label=label)
            )
        elif (share := covered(flair, scan)) < MIN_OVERLAP:
            reasons.append(
                t("{label} covers only {share:.0%} of the FLAIR volume and is left out.", label=label, share=share)
            )
    return reasons


def _examinations(scans: list[Scan]) -> Examinations:
    """Which scans belong together, by the scans that state FLAIR."""
    return Examinations(scans, [number for number, scan in enumerate(scans) if SEQUENCE_NAMES[FLAIR] in scan.guesses])


def _partner(
    scans: list[Scan], together: Examinations, guesses: dict[Channel, str | None], flair: Channel, name: str
) -> Channel | None:
    """Return the channel that states a sequence and lies best where FLAIR does: same plane, same grid, most overlap."""
    picture = scans[flair.scan]
    found = [
        channel
        for channel, guess in guesses.items()
        if guess == name and together.hold(flair.scan, channel.scan) and covers(picture, scans[channel.scan])
    ]

    def distance(channel: Channel) -> tuple[bool, bool, float]:
        other = scans[channel.scan]
        return other.plane != picture.plane, not same_grid(picture, other), -covered(picture, other)

    return min(found, key=distance, default=None)
