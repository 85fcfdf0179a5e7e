"""Which MRI sequence is it? Guesses from names and from DICOM's acquisition values, always shown as guesses."""

import re
from pathlib import PurePosixPath

PRE_CONTRAST, FLAIR, POST_CONTRAST = "pre-contrast", "FLAIR", "post-contrast"
EXPECTED_MASK = "expected mask"  # no sequence, but what somebody drew on one

_FLAIR_WORDS = r"flair|dark.?fluid|tirm"
_PRE_WORDS = r"\bpre\b|pre.?con|(?<![a-z])native|without"
_T1 = r"(?<![a-z])(3d|ax|sag|cor|tra)*t1(?!\d)"  # output1 and t10 are numbers, axt1 and 3dt1 are sequences
_POST_WORDS = rf"{_T1}.?(ce|gd|post|km|\+?c\b|w.?(gd|ce|post))|post.?(con|gad|gd|t1)|gado?|\+c\b|contrast.?enh|\bpost\b"
_T1_WORDS = rf"{_T1}|mp.?rage|spgr"
_MASK_WORDS = r"\b(masks?|seg|segmentation|labels?|gt)\b"


def guess_from_name(name: str) -> str | None:
    """Return the sequence that a file or series name speaks of, or None.

    >>> guess_from_name("BraTS_001_t1ce.nii.gz"), guess_from_name("ax_T2_FLAIR"), guess_from_name("IMG_0001.png")
    ('post-contrast', 'FLAIR', None)
    >>> guess_from_name("sag T1 pre-contrast"), guess_from_name("t2_tse")
    ('pre-contrast', None)
    >>> guess_from_name("output1.png"), guess_from_name("brainT1.png"), guess_from_name("alternative/7.png")
    (None, 'pre-contrast', None)
    """
    text = re.sub(r"(?<=[a-z])(?=T1)|[_/\\.]", " ", name).lower()
    if re.search(_FLAIR_WORDS, text):
        return FLAIR
    if re.search(_PRE_WORDS, text):
        return PRE_CONTRAST
    if re.search(_POST_WORDS, text):
        return POST_CONTRAST
    return PRE_CONTRAST if re.search(_T1_WORDS, text) else None


def guess_from_file(name: str) -> str | None:
    """Return the sequence that a file's name speaks of, or `EXPECTED_MASK`, or None.

    >>> guess_from_file("masks/TCGA_1_7_mask.tif"), guess_from_file("seg/BraTS_001_flair.nii.gz")
    ('expected mask', 'FLAIR')
    """
    own = re.sub(r"[_.-]", " ", PurePosixPath(name).name.lower())
    return EXPECTED_MASK if re.search(_MASK_WORDS, own) else guess_from_name(name)


def guess_from_timing(
    repetition: float | None, echo: float | None, inversion: float | None, contrast_agent: bool
) -> str | None:
    """Return the sequence that the times of an acquisition speak of, or None.

    Fluid is nulled by a long inversion with a long echo; T1 weighting needs a short echo and a short repetition,
    or the inversion of an MP-RAGE.

    Args:
        repetition, echo, inversion: milliseconds, None where the header is silent.
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
