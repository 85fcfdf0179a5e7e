"""Who the patient of a DICOM series is, for an export that the visitor asks to be filed under the patient.

Nothing else looks at it. What is damaged, or not as the standard writes it, is left out.
Source: DICOM PS3.3, C.7.1.1 (Patient) and C.7.2.1 (General Study); PS3.5, 6.2 (value representations).
"""

import re

import pydicom
from pydicom.valuerep import PersonName

from unet.scans.formats.dicom_frames import value_of

_LONG, _SHORT = r"[^\\\x00-\x1f]{1,64}", r"[^\\\x00-\x1f]{1,16}"
_NAME = r"[^\\\x00-\x1f=]{1,64}(=[^\\\x00-\x1f=]{0,64}){0,2}"  # letters, ideographs, and how they sound
_DATE, _TIME = r"\d{8}", r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"
_FORMS = {
    "PatientName": _NAME,
    "PatientID": _LONG,
    "IssuerOfPatientID": _LONG,
    "PatientBirthDate": _DATE,
    "PatientSex": "[MFO]",
    "StudyDate": _DATE,
    "StudyTime": _TIME,
    "StudyID": _SHORT,
    "AccessionNumber": _SHORT,
    "ReferringPhysicianName": _NAME,
    "StudyDescription": _LONG,
}


def patient_of(header: pydicom.Dataset) -> dict[str, str]:
    """Return what a header says of patient and study, by keyword; only what it says, and properly.

    >>> header = pydicom.Dataset()
    >>> header.PatientName, header.PatientSex, header.PatientBirthDate = "Hong^Gildong=洪^吉洞=홍^길동", "F", ""
    >>> patient_of(header)
    {'PatientName': 'Hong^Gildong=洪^吉洞=홍^길동', 'PatientSex': 'F'}
    """
    found = {keyword: value_of(header, keyword) for keyword in _FORMS}
    single = {keyword: str(value).strip() for keyword, value in found.items() if isinstance(value, (str, PersonName))}
    return {keyword: value for keyword, value in single.items() if re.fullmatch(_FORMS[keyword], value)}
