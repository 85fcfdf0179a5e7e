"""Which MRI sequence is it? Guesses from names and from DICOM's acquisition values, always shown as guesses.

A name is read as words. Scanners, archives and challenges have habits: tests/sequence_names.tsv lists names with their
sources.
"""

import re
from pathlib import PurePosixPath

from unet.language import mark

PRE_CONTRAST, FLAIR, POST_CONTRAST = "pre-contrast", "FLAIR", "post-contrast"
EXPECTED_MASK = mark("expected mask")  # no sequence: a mask drawn on one
OTHER = mark("another picture")  # named, and none of the above: T2, diffusion, a brain mask

MAX_STATING = 4  # words of a name that state a sequence together
MAX_NAME = 500  # characters; of a longer name its end is read, as matching takes longer than in proportion

_ENDING = re.compile(
    r"(\.(nii|gz|hdr|img|dcm|ima|nrrd|nhdr|mha|mhd|mgz|mgh|tiff?|png|jpe?g|zip|bmp|webp|heic|heif|mnc|head|par))+$"
)

# --- parts of a name that speak of something else than the picture
_ENTITIES = r"(?<![a-z0-9])(sub|ses|run|acq|dir|echo|part|rec|chunk)-[a-z0-9]+"  # of BIDS
_SPACES = r"(?<![a-z])(space|res)-[a-z0-9]+|(native|subject|mni|atlas)[ _-]?space"
_TARGETS = (
    r"((co)?reg(istered)?[_-]?(to|on|2)[_-]?|[_-](to|in)[_-]|(?<=[a-su-z0-9])2)(t1|t2|flair|mni)[a-z]*"  # but T2FLAIR
)
_TREATMENTS = r"(?<![a-z])(pre|post)[ _-]?(ops?|operative|surg\w*|rt|radio\w*|treat\w*|tx|chemo\w*|resection)(?![a-z])"
_ELSEWHERE = re.compile("|".join((_ENTITIES, _SPACES, _TARGETS, _TREATMENTS)), re.IGNORECASE)
_BIDS_AGENT = re.compile(r"(?<![a-z])ce-(?!t1)[a-z0-9]+")

# --- spellings of one thing
_SPELLINGS = (
    (re.compile(r"dark[ _-]?fluid|(?<![a-z])da[ _-]fl(?![a-z])|fluid[ _-]attenuated"), " flair "),
    (re.compile(r"mp[ _-]rage"), " mprage "),
    (re.compile(r"[+] ?c(?![a-z])|(?<![a-z])c ?[+]"), " gd "),
)

# --- words
_PLANES = r"(ax|axial|sag|cor|tra|3d|2d|fs|s|r|w)*"
_T1 = re.compile(
    rf"\d*(?P<before>c|ce)?{_PLANES}t1(w|wi|n)?(?P<after>ce|c|gd|gad\w*|km|ks|mdc|post\w*|pre\w*|native?)?"
)
_T1_SEQUENCES = re.compile(r"mprage|mp2rage|mpr|f?spgr|bravo|vibe|lava|tfl")
_FLAIR_WORDS = re.compile(r"\w*flair\w*|fla|flr|t2f|tirm")
_T2 = re.compile(rf"{_PLANES}t2(w|wi|n|star\w*|[*])?|pdw?|f?gre|stir|ciss\w*|fiesta|haste|hemo")
_OTHER_WORDS = re.compile(
    r"d?adc|dwi|dti|dki|diff(usion)?|trace\w*|b\d{1,4}|tensor|fa|ivim|swip?|swan|m(in)?ip|tof|mr[av]|angio\w*|asl|r?cb[fv]|mtt"
    r"|ttp|pwi|perf(usion)?|dsc|dce|bold|fmri|rest|loc(ali[sz]er)?|scout|survey|3plane|ct|pet|spect|mrs|csi|cest|qsm|phase"
    r"|field ?map|fmap|subtract\w*|calibration"
)
_AGENTS = re.compile(
    r"gd|gad|gado\w*|gadavist|km|ks|mdc|cm|ce|inj|inject\w*|iniett\w*|ev|iv|civ|[ck]ontrast\w*|enhanc\w*|post"
    r"|post?(contrast|con|gad|gd|km|inj)\w*"
)
_WITHOUT = re.compile(
    r"without|sans|sin|senza|ohne|non?|before|avant|antes|prima|vor|pre|pre(contrast|con|gad|gd|km|inj)\w*|native?|nativo"
    r"|basale?|plain|(un|non?)(enhanced|contrast)"
)

_BRAIN_MASK = re.compile(
    r"brain ?(?!tumou?r|lesion)(\w+ )?(mask|seg)|mask brain|(skull|head|bet|face|wm|gm|csf|vessel) ?mask|tissue|probseg"
    r"|aparc|aseg|synthseg|parcellation"
)
_MASK = re.compile(
    r"masks?|seg|segs|segm|dseg|segmentations?|segmented|labels?|labelmaps?|gt|ground|groundtruth|goldstandard|gold"
    r"|annotations?|otmulticlass|contours?|rtstruct|rois?|[gc]tv"
    r"|(lesion|tumou?r|roi|gt)_?(mask|seg)\w*"
)
_MASK_IF_NOTHING_ELSE = re.compile(r"lesions?|tumou?rs?|manual|consensus|expert")


def guess_from_name(name: str) -> str | None:
    """Return the sequence that a file or series name states, `OTHER` for another picture, or None.

    >>> guess_from_name("BraTS_001_t1ce.nii.gz"), guess_from_name("ax_T2_FLAIR"), guess_from_name("IMG_0001.png")
    ('post-contrast', 'FLAIR', None)
    >>> guess_from_name("sag T1 pre-contrast"), guess_from_name("t2_tse"), guess_from_name("Ax T1 FLAIR")
    ('pre-contrast', 'another picture', 'pre-contrast')
    >>> guess_from_name("output1.png"), guess_from_name("brainT1.png"), guess_from_name("alternative/7.png")
    (None, 'pre-contrast', None)
    """
    for part in _parts(name):  # the file's own name says more than its folder's
        if guess := _sequence(part):
            return guess
    return None


def guess_from_file(name: str) -> str | None:
    """Return what a file's name states, as `guess_from_name`, or `EXPECTED_MASK`.

    >>> guess_from_file("masks/TCGA_1_7_mask.tif"), guess_from_file("seg/BraTS_001_flair.nii.gz")
    ('expected mask', 'FLAIR')
    >>> guess_from_file("sub-01_desc-brain_mask.nii.gz"), guess_from_file("skull_stripped_flair_masked.nii.gz")
    ('another picture', 'FLAIR')
    """
    words = re.sub(r"[\W_]+", " ", _ENDING.sub("", _parts(name)[0].lower())).split()
    if _BRAIN_MASK.search(" ".join(words)):
        return OTHER
    if any(map(_MASK.fullmatch, words)):
        return EXPECTED_MASK
    guess = guess_from_name(name)
    return EXPECTED_MASK if guess is None and any(map(_MASK_IF_NOTHING_ELSE.fullmatch, words)) else guess


def stating_words(name: str, guess: str) -> str:
    """Return the fewest words of a name that state the same as all of it; empty where it states something else.

    >>> stating_words("BraTS20_Training_001_t1ce.nii", "post-contrast"), stating_words("t2_tra_dark-fluid", "FLAIR")
    ('t1ce', 'dark-fluid')
    >>> stating_words("IM0001", "FLAIR")
    ''
    """
    for part in filter(None, _parts(name)):
        text = _ENDING.sub("", part)
        words = list(re.finditer(r"[^\W_]+[+*]?|[+][^\W_]+", text))
        for count in range(1, min(MAX_STATING, len(words)) + 1):
            for first, last in zip(reversed(words[: len(words) - count + 1]), reversed(words), strict=False):
                found = text[first.start() : last.end()]
                if guess_from_file(found) == guess:
                    return found
    return ""


def is_without_contrast(name: str) -> bool:
    """Tell whether a name says that no contrast agent was given.

    >>> is_without_contrast("AX T1 WITHOUT"), is_without_contrast("t1n.nii"), is_without_contrast("Ax T1")
    (True, True, False)
    """
    words = re.split(r"[\W_]+", _ENDING.sub("", _parts(name)[0].lower()))
    after = [found["after"] or "" for word in words if (found := _T1.fullmatch(word))]
    return any(word == "t1n" or _WITHOUT.fullmatch(word) for word in (*words, *after))


def guess_from_timing(
    repetition: float | None, echo: float | None, inversion: float | None, contrast_agent: bool
) -> str | None:
    """Return the sequence that the times of an acquisition state, or None.

    Fluid is nulled by a long inversion with a long echo; T1 weighting needs a short echo and a short repetition,
    or the inversion of an MP-RAGE.

    Args:
        repetition: milliseconds, None where the header is silent.
        echo: milliseconds or None.
        inversion: milliseconds or None.
        contrast_agent: whether the header names one.

    >>> guess_from_timing(9000, 120, 2500, False), guess_from_timing(500, 10, None, True)
    ('FLAIR', 'post-contrast')
    """
    if echo is not None and inversion is not None and echo >= 60 and inversion >= 1500:
        return FLAIR
    t1_weighted = echo is not None and 0 < echo <= 30 and (inversion or (repetition is not None and repetition <= 1000))
    if not t1_weighted:
        return None
    return POST_CONTRAST if contrast_agent else PRE_CONTRAST


def guess_from_header(
    name: str, repetition: float | None, echo: float | None, inversion: float | None, contrast_agent: bool
) -> str | None:
    """Return the sequence of a DICOM series; where its name contradicts its acquisition, the acquisition counts.

    Args:
        name: description, protocol and sequence name.
        repetition: milliseconds, None where the header is silent.
        echo: milliseconds or None.
        inversion: milliseconds or None.
        contrast_agent: whether the header names one.

    >>> guess_from_header("Ax FLAIR", 2500, 20, 900, False), guess_from_header("T1", 4000, 100, None, False)
    ('pre-contrast', 'another picture')
    """
    named, timed = guess_from_name(name), guess_from_timing(repetition, echo, inversion, contrast_agent)
    t1_weighted = (PRE_CONTRAST, POST_CONTRAST)
    if named is None or (named == FLAIR and timed in t1_weighted) or (named in t1_weighted and timed == FLAIR):
        return timed
    if named in t1_weighted and timed is None and echo is not None and echo >= 60:
        return OTHER  # T2-weighted
    return POST_CONTRAST if named == PRE_CONTRAST and contrast_agent else named


def _parts(name: str) -> list[str]:
    """Return a file's own name and those of its folders, the nearest first; the slash of "w/o contrast" is none."""
    name = name[-MAX_NAME:]
    path = re.sub(r"(?i)(?<![a-z])w/ ?(o(ut)?)?(?![a-z])", lambda found: "without " if found[1] else "with ", name)
    return [*reversed(PurePosixPath(path.replace("\\", "/")).parts), ""]


def _sequence(part: str) -> str | None:
    """Return what one name states, without the words for masks."""
    text = re.sub(r"(?<=[a-z])(?=T1)", " ", _ELSEWHERE.sub(" ", part))  # brainT1, but not output1
    text = _ENDING.sub("", text.lower())
    if channel := re.search(r"brats\w*?_\d+_000([0-3])$", text):  # of the Medical Segmentation Decathlon, by nnU-Net
        return (FLAIR, PRE_CONTRAST, POST_CONTRAST, OTHER)[int(channel[1])]
    text = _BIDS_AGENT.sub(" gd ", text)
    for spelling, word in _SPELLINGS:
        text = spelling.sub(word, text)
    words = re.sub(r"[^a-z0-9*]+", " ", text.replace("_", " ")).split()
    if any(map(_OTHER_WORDS.fullmatch, words)):
        return OTHER
    t1 = [found for word in words if (found := _T1.fullmatch(word))]
    is_t1 = bool(t1) or any(map(_T1_SEQUENCES.fullmatch, words))
    if not is_t1 and any(map(_FLAIR_WORDS.fullmatch, words)):
        return FLAIR
    if not is_t1 and any(map(_T2.fullmatch, words)):
        return OTHER
    marks = [mark for found in t1 for mark in found.group("before", "after") if mark]
    if any(not _WITHOUT.fullmatch(mark) for mark in marks) or _has_agent(words):
        return POST_CONTRAST
    return PRE_CONTRAST if is_t1 or any(map(_WITHOUT.fullmatch, words)) else None


def _has_agent(words: list[str]) -> bool:
    """Tell whether words name a contrast agent that neither of the two words before denies."""
    for place, word in enumerate(words):
        is_agent = _AGENTS.fullmatch(word) or (word == "c" and place and _T1.fullmatch(words[place - 1]))
        if is_agent and not any(map(_WITHOUT.fullmatch, words[max(0, place - 2) : place])):
            return True
    return False
