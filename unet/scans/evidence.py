"""What speaks for the sequence that a picture is taken for, in a sentence, and how sure that is."""

from dataclasses import dataclass

from unet.data.sequences import (
    EXPECTED_MASK,
    OTHER,
    guess_from_name,
    guess_from_timing,
    is_without_contrast,
    stating_words,
)
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES
from unet.language import mark, t
from unet.scans.mapping import Channel, Mapping, channels, doubt, suggest
from unet.scans.scan import Scan

SURE, LIKELY, UNSURE = mark("sure"), mark("likely"), mark("unsure")
CHOSEN = mark("chosen by you")


@dataclass(frozen=True)
class Evidence:
    """A sentence, and one of `SURE`, `LIKELY`, `UNSURE` and `CHOSEN`."""

    why: str
    certainty: str


def stated(scan: Scan, channel: int) -> Evidence:
    """Return what speaks for the sequence that a channel's name or header states, see `Scan.guesses`."""
    guess = scan.guesses[channel]
    if guess is None:
        return Evidence(t("Neither its name nor its header says which sequence it is."), UNSURE)
    if scan.acquisition is not None:
        return _stated_by_header(scan.acquisition, guess)
    if len(scan.guesses) == 3 and set(SEQUENCE_NAMES) <= set(scan.guesses):
        return Evidence(
            t("Three colours are taken for three sequences, as in the data set: red, green and blue."), LIKELY
        )
    name = scan.files[0] if scan.files else scan.name
    word = stating_words(name, guess) or scan.name
    if guess == SEQUENCE_NAMES[PRE_CONTRAST] and not is_without_contrast(name):
        return Evidence(t("Its name says “{word}” and has no word for a contrast agent.", word=word), LIKELY)
    return Evidence(t("Its name says “{word}”.", word=word), SURE)


def evidence(scans: list[Scan], mapping: Mapping, channel: Channel, expected: Channel | None = None) -> Evidence:
    """Return what speaks for the place that a channel has in a mapping, or for what it states where it has none."""
    scan = scans[channel.scan]
    role = sequence_of(mapping, channel, expected)
    own = stated(scan, channel.channel)
    if role is None or role == scan.guesses[channel.channel]:
        return _by_the_clock(scans, scan, own) if role == SEQUENCE_NAMES[PRE_CONTRAST] else own
    if role == EXPECTED_MASK or all(sequence_of(one, channel) != role for one in suggest(scans)):
        return Evidence(t("You chose it."), CHOSEN)
    if role == SEQUENCE_NAMES[FLAIR] and None in mapping:
        place = t("It is used because no other picture states FLAIR.")
    else:
        place = t("It is taken by its place among three pictures, as in the data set.")
    return Evidence(f"{own.why} {place}", UNSURE)


def _by_the_clock(scans: list[Scan], scan: Scan, own: Evidence) -> Evidence:
    """Weigh when a T1 series without a word for contrast was acquired, beside one that states post-contrast."""
    if scan.acquisition is None or scan.acquisition["minute"] is None or own.certainty != LIKELY:
        return own
    for other in scans:
        same_study = (other.source or {}).get("study") == (scan.source or {}).get("study")
        minute = (other.acquisition or {}).get("minute")
        if SEQUENCE_NAMES[POST_CONTRAST] not in other.guesses or not same_study or minute is None:
            continue
        later = scan.acquisition["minute"] - minute
        if later < 0:
            before = t("It was acquired {minutes} min before {other}.", minutes=-later, other=other.name)
            return Evidence(f"{own.why} {before}", SURE)
        if later > 0:
            after = t(
                "It was acquired {minutes} min after {other}: it may show the contrast agent too.",
                minutes=later,
                other=other.name,
            )
            return Evidence(f"{own.why} {after}", UNSURE)
    return own


def sequence_of(mapping: Mapping, channel: Channel, expected: Channel | None = None) -> str | None:
    """Return what a channel is used as: one of `SEQUENCE_NAMES`, `EXPECTED_MASK`, or None where it is not used."""
    if channel == expected:
        return EXPECTED_MASK
    return SEQUENCE_NAMES[mapping.index(channel)] if channel in mapping else None


def questions(scans: list[Scan], mapping: Mapping) -> list[str]:
    """Return a sentence for each sequence of a mapping that is unsure, FLAIR first."""
    labels, asked = channels(scans), []
    for number in (FLAIR, PRE_CONTRAST, POST_CONTRAST):
        channel = mapping[number]
        if channel is None:
            continue
        found = evidence(scans, mapping, channel)
        unstated = scans[channel.scan].guesses[channel.channel] is None
        if number == FLAIR and doubt(scans, mapping):
            if not (unstated and found.certainty == CHOSEN):  # who chooses a picture that states another one is told
                asked.append(doubt(scans, mapping))
        elif found.certainty == UNSURE:
            asked.append(
                t(
                    "{label} is used as {sequence}. {why}",
                    label=labels[channel],
                    sequence=t(SEQUENCE_NAMES[number]),
                    why=found.why,
                )
            )
    return asked


def _stated_by_header(acquisition: dict, guess: str) -> Evidence:
    """Weigh name and acquisition values of a DICOM series as `unet.data.sequences.guess_from_header` does."""
    repetition, echo, inversion = (acquisition[kind] for kind in ("repetition", "echo", "inversion"))
    named = guess_from_name(acquisition["words"])
    timed = guess_from_timing(repetition, echo, inversion, acquisition["agent"])
    values = _values(acquisition)
    word = stating_words(acquisition["words"], named) if named else ""
    pre, _, post = SEQUENCE_NAMES
    if named is None:
        why, certainty = t("The header says {values}.", values=values), LIKELY if guess == pre else SURE
    elif guess not in (named, OTHER, post):
        why = t("Its name says “{word}”, but the header overrules it: {values}.", word=word, values=values)
        certainty = LIKELY if {named, guess} <= {pre, post} else UNSURE
    elif guess == OTHER or timed is None or not values:
        why, certainty = t("Its name says “{word}”.", word=word), LIKELY if guess == pre else SURE
        if guess == OTHER and named != OTHER:
            why = t("Its name says “{word}”, but the header overrules it: {values}.", word=word, values=values)
    else:
        why = t("Its name says “{word}”, and the header agrees: {values}.", word=word, values=values)
        certainty = SURE
    if guess == pre and not acquisition["agent"] and not is_without_contrast(acquisition["words"]):
        why += " " + t("It names no contrast agent.")
        certainty = LIKELY if certainty == SURE else certainty
    return Evidence(why, certainty)


def _values(acquisition: dict) -> str:
    """Return the acquisition values that tell sequences apart, as radiologists write them."""
    kinds = {"TR": "repetition", "TE": "echo", "TI": "inversion"}
    parts = [f"{short} {acquisition[kind]:g} ms" for short, kind in kinds.items() if acquisition[kind]]
    return ", ".join([*parts, t("contrast agent")] if acquisition["agent"] else parts)
