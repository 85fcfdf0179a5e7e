"""The published split of the data set: which patients train, validate and test."""

import json
from functools import cache
from pathlib import Path

PHANTOM_PREFIX = "PHANTOM"
_SPLITS_FILE = Path(__file__).with_name("splits.json")


@cache
def published_splits() -> dict[str, tuple[str, ...]]:
    """Return the patient ids of each split: `train` 77, `validation` 11, `test` 10; no patient is in two.

    The ten test patients are the validation cases of brain-segmentation-pytorch, so scores compare.
    """
    return {split: tuple(ids) for split, ids in json.loads(_SPLITS_FILE.read_text()).items()}


def split_of(patient_id: str) -> str:
    """Return `training`, `validation`, `test`, `phantom`, or `unseen` for a patient on no list.

    >>> split_of("TCGA_CS_4941_19960909"), split_of("TCGA_XX_0000_20000101")
    ('training', 'unseen')
    """
    if patient_id.startswith(PHANTOM_PREFIX):
        return "phantom"
    for split, patient_ids in published_splits().items():
        if patient_id in patient_ids:
            return {"train": "training"}.get(split, split)
    return "unseen"
