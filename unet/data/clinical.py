"""`data.csv`, the clinical table of the data set, in words.

The data set documents no key to its numeric codes. The readings here are the alphabetical order of TCGA's
own terms, which fits the counts; the pages say "read as". A code outside the list is shown as it stands.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from unet.language import mark, t

_INSTITUTIONS = {
    "CS": mark("Thomas Jefferson University"),
    "DU": mark("Henry Ford Hospital"),
    "EZ": mark("UNC"),
    "FG": mark("Case Western"),
    "HT": mark("Case Western – St Joe's"),
}
_READINGS = {
    "histological_type": {"1": mark("astrocytoma"), "2": mark("oligoastrocytoma"), "3": mark("oligodendroglioma")},
    "neoplasm_histologic_grade": {"1": "G2", "2": "G3"},
    "gender": {"1": mark("female"), "2": mark("male")},
    "laterality": {"1": mark("left"), "2": mark("midline"), "3": mark("right")},
}


@dataclass(frozen=True)
class ClinicalRecord:
    """What `data.csv` says of a patient; None where it says nothing."""

    histology: str | None = None
    grade: str | None = None
    sex: str | None = None
    age: int | None = None
    laterality: str | None = None


def read_clinical_table(path: Path) -> tuple[dict[str, ClinicalRecord], str | None]:
    """Read `data.csv`, `;`- or `,`-separated, with or without a byte-order mark.

    Returns:
        Records keyed by the first three parts of the case folder's name, and a sentence on what is wrong
        with the file, or None. A table that cannot be used gives no records, never an exception.
    """
    if not path.exists():
        return {}, t(
            "{path} is missing in {parent}. Grade, histology, age and sex stay unknown.",
            path=path.name,
            parent=path.parent.name,
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return {}, t(
            "{path} cannot be read ({error}). Clinical data stay unknown.", path=path.name, error=type(error).__name__
        )
    first_line = text.partition("\n")[0]
    try:
        rows = list(csv.DictReader(text.splitlines(), delimiter=";" if ";" in first_line else ","))
    except csv.Error:  # such as a field beyond 128 KiB
        rows = []
    if not rows or "Patient" not in rows[0]:
        return {}, (
            t(
                "{path}: its first line is {first_line!r}; expected the column 'Patient' and others, "
                "separated by ';'. Clinical data stay unknown. Download the file again.",
                path=path.name,
                first_line=first_line[:60],
            )
        )
    return {row["Patient"]: _decode(row) for row in rows if row["Patient"]}, None


def clinical_record(table: dict[str, ClinicalRecord], patient_id: str) -> ClinicalRecord:
    """Return the record of a case folder, empty where the table has none."""
    return table.get("_".join(patient_id.split("_")[:3]), ClinicalRecord())


def institution(patient_id: str) -> str:
    """Return the tissue source site that the second part of the folder name stands for, or its bare code.

    >>> institution("TCGA_DU_5849_19950405"), institution("TCGA_XX_1_2")
    ('Henry Ford Hospital', 'XX')
    """
    code = [*patient_id.split("_"), ""][1]
    return _INSTITUTIONS.get(code, code)


def _decode(row: dict[str, str | None]) -> ClinicalRecord:
    def read(column: str) -> str | None:
        code = (row.get(column) or "").strip()
        return _READINGS[column].get(code, f"code {code}") if code else None

    age = (row.get("age_at_initial_pathologic") or "").strip()
    return ClinicalRecord(
        histology=read("histological_type"),
        grade=read("neoplasm_histologic_grade"),
        sex=read("gender"),
        age=int(age) if age.isdecimal() else None,
        laterality=read("laterality"),
    )
