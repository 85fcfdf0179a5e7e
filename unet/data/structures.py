"""What a drawn structure is, by the words and codes that its file gives it: a lesion, a margin around one, or neither.

Segmentations and contours often hold the brain, ventricles or organs at risk beside the lesion; these must not be
scored as lesion. A structure that says nothing of itself counts as a lesion, as a mask beside a picture mostly is one.
Source of the codes: DICOM PS3.16, CID 7150 (segmentation property categories), and PS3.3, C.8.8.8 (ROI types).
"""

import re

LESION, MARGIN, NO_LESION = "lesion", "margin", "no lesion"

_LESIONS = re.compile(
    r"lesion|tumou?r|glio|astrocyt|blastoma|neoplas|cancer|carcinoma|metasta|meningioma|lymphoma|o?edem|necro"
    r"|enhanc|infiltrat|abnorm|hyperintens|plaque|infarct|stroke|ha?emorrhag|\b(gtv|gbm|lgg|hgg|wmh|ncr|ed|et|net|tc|wt)\b"
    r"|\bgtv"
)
_MARGINS = re.compile(r"(?<![a-z])[cpi]tv")
_NO_LESIONS = re.compile(
    r"brain|cerebr|cerebell|ventric|csf|liquor|(white|gr[ae]y) matter|\b[wg]m\b|cortex|cortical|skull|scalp|bone|skin"
    r"|\bhead\b|\bbody\b|patient|external|outline|background|\bair\b|\bpons\b|medulla|thalam|hippocamp|amygdal|putamen"
    r"|caudat|pallid|gangli|\beyes?\b|\blens|orbit|retina|optic|chiasm|cochlea|pituitar|hypophys|vessel|arter|\bveins?\b"
    r"|sinus|parotid|spin(e|al)|\bcord\b|mandib|larynx|thyroid|liver|kidney|lung|heart|normal|isocent|marker|couch|\bring\b"
)
_WITHOUT_LESION = re.compile(r"brain\W*(-|minus|without|excl|sub)\W*\w*[gcp]tv|(minus|without|excluding|free of) ")
_ALTERED = re.compile(r"altered|abnormal|49755003|m-01000")
_ANATOMY = re.compile(r"anatom|organ|91723000|123037004|t-d000a|body substance|physical object")
_ROI_TYPES = {"GTV": LESION, "CTV": MARGIN, "PTV": MARGIN, "TREATED_VOLUME": MARGIN, "IRRAD_VOLUME": MARGIN}


def kind_of_structure(label: str, meaning: str = "", category: str = "", roi_type: str = "") -> str:
    """Return `LESION`, `MARGIN` (a treatment volume around a lesion) or `NO_LESION`.

    The label counts first: many programs write the same type and category for everything.

    Args:
        label: name of a segment or of a region of interest.
        meaning: of the code of the segment's property type.
        category: code and meaning of the segment's property category.
        roi_type: interpreted type of a region of interest, such as `ORGAN`.

    >>> [kind_of_structure(one) for one in ("Brain", "brain tumour", "Edema", "Segment_1", "PTV 60", "Brain-GTV")]
    ['no lesion', 'lesion', 'lesion', 'lesion', 'margin', 'no lesion']
    >>> kind_of_structure("Left", "", "123037004 Anatomical Structure"), kind_of_structure("1", roi_type="EXTERNAL")
    ('no lesion', 'no lesion')
    """
    category = category.lower()
    if kind := _kind_of_words(label) or _kind_of_words(meaning):
        return kind
    if _ALTERED.search(category):
        return LESION
    if _ANATOMY.search(category):
        return NO_LESION
    return LESION if roi_type in ("", "NONE") else _ROI_TYPES.get(roi_type, NO_LESION)


def _kind_of_words(words: str) -> str:
    """Return what words say, or an empty word where they say nothing."""
    words = re.sub(r"[_\s]+", " ", words.lower())
    if _WITHOUT_LESION.search(words):
        return NO_LESION
    for kind, pattern in ((MARGIN, _MARGINS), (LESION, _LESIONS), (NO_LESION, _NO_LESIONS)):
        if pattern.search(words):
            return kind
    return ""
