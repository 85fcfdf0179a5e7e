"""`data.csv` in words, whatever state the file is in."""

import pytest

from unet.data.clinical import ClinicalRecord, clinical_record, institution, read_clinical_table

pytestmark = pytest.mark.quick

HEADER = (
    "Patient;RNASeqCluster;MethylationCluster;miRNACluster;CNCluster;RPPACluster;OncosignCluster;COCCluster;"
    "histological_type;neoplasm_histologic_grade;tumor_tissue_site;laterality;tumor_location;gender;"
    "age_at_initial_pathologic;race;ethnicity;death01"
)
ROW = "TCGA_CS_4941;2;4;2;2;;3;2;1;2;1;3;2;2;67;3;2;1"
RECORD = ClinicalRecord(histology="astrocytoma", grade="G3", sex="male", age=67, laterality="right")


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes):
        path = tmp_path / "data.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_clinical_table(path)

    return read


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{ROW}\n",
        f"{HEADER}\r\n{ROW}\r\n",
        f"{HEADER}\n{ROW}",
        f"\ufeff{HEADER}\n{ROW}\n",
        f"{HEADER}\n{ROW}\n".replace(";", ","),
        f"\ufeff{HEADER}\n{ROW}\n".replace(";", ","),
    ],
    ids=["semicolons", "Windows lines", "no last newline", "byte-order mark", "commas", "commas and mark"],
)
def test_a_row_of_the_data_set_in_words(read, content):
    assert read(content) == ({"TCGA_CS_4941": RECORD}, None)


@pytest.mark.parametrize(
    "column, code, field, word",
    [
        ("histological_type", "1", "histology", "astrocytoma"),
        ("histological_type", "2", "histology", "oligoastrocytoma"),
        ("histological_type", "3", "histology", "oligodendroglioma"),
        ("histological_type", "7", "histology", "code 7"),
        ("neoplasm_histologic_grade", "1", "grade", "G2"),
        ("neoplasm_histologic_grade", "2", "grade", "G3"),
        ("neoplasm_histologic_grade", "4", "grade", "code 4"),
        ("gender", "1", "sex", "female"),
        ("gender", "2", "sex", "male"),
        ("gender", "0", "sex", "code 0"),
        ("laterality", "1", "laterality", "left"),
        ("laterality", "2", "laterality", "midline"),
        ("laterality", "3", "laterality", "right"),
        ("laterality", "left", "laterality", "code left"),
        ("age_at_initial_pathologic", "0", "age", 0),
        ("age_at_initial_pathologic", "unknown", "age", None),
        ("age_at_initial_pathologic", "6²", "age", None),
    ],
)
def test_codes(read, column, code, field, word):
    table, problem = read(f"Patient;{column}\nTCGA_AA_1;{code}\n")
    assert problem is None
    assert table == {"TCGA_AA_1": ClinicalRecord(**{field: word})}


def test_blank_stays_unknown(read):
    table, _ = read(f"{HEADER}\nTCGA_CS_1;{';' * 16}\nTCGA_CS_2\nTCGA_CS_3;;;;;;;; ; ;;;; ;  ;;;\n")
    assert table == dict.fromkeys(("TCGA_CS_1", "TCGA_CS_2", "TCGA_CS_3"), ClinicalRecord())


def test_row_without_patient_is_left_out(read):
    table, problem = read(f"{HEADER}\n;;;;;;;;1;1;;;;;;;;\n{ROW}\n")
    assert (list(table), problem) == (["TCGA_CS_4941"], None)


def test_absent_table_is_said(tmp_path):
    table, problem = read_clinical_table(tmp_path / "data.csv")
    assert table == {}
    assert problem == f"data.csv is missing in {tmp_path.name}. Grade, histology, age and sex stay unknown."


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n",
        HEADER.encode(),
        b"a;b\n1;2\n",
        b"<html><body>404 Not Found</body></html>\n",
        b"\xff\xfe\x00\x01\x80garbage\n\x00\n",
        b"PK\x03\x04\x14\x00\x00\x00\x00",
        b"Patient;gender\n" + b"x" * 200_000,
    ],
    ids=["empty", "blank lines", "header only", "other columns", "html", "binary", "archive", "endless field"],
)
def test_garbage_gives_no_records_and_a_sentence(read, content):
    table, problem = read(content)
    assert table == {}
    assert problem.startswith("data.csv") and "Clinical data stay unknown".lower() in problem.lower()


def test_unreadable_table_is_said(tmp_path):
    (tmp_path / "data.csv").mkdir()
    table, problem = read_clinical_table(tmp_path / "data.csv")
    assert table == {}
    assert problem == "data.csv cannot be read (IsADirectoryError). Clinical data stay unknown."


def test_record_of_a_case_folder():
    table = {"TCGA_CS_4941": RECORD}
    assert clinical_record(table, "TCGA_CS_4941_19960909") == RECORD
    assert clinical_record(table, "TCGA_CS_4942_19960909") == ClinicalRecord()
    assert clinical_record({}, "PHANTOM_1") == ClinicalRecord()


@pytest.mark.parametrize(
    "patient_id, expected",
    [
        ("TCGA_CS_4941_19960909", "Thomas Jefferson University"),
        ("TCGA_FG_5962_20000626", "Case Western"),
        ("TCGA_QQ_1_2", "QQ"),
        ("PHANTOM", ""),
    ],
)
def test_institution(patient_id, expected):
    assert institution(patient_id) == expected


def test_table_of_the_data_set(lgg_root):
    table, problem = read_clinical_table(lgg_root / "data.csv")
    assert problem is None
    assert len(table) == 110
    assert table["TCGA_CS_4941"] == RECORD
    # the counts that the readings were chosen by
    counts = {
        word: sum(word in (r.histology, r.grade, r.sex, r.laterality) for r in table.values())
        for word in ("astrocytoma", "oligoastrocytoma", "oligodendroglioma", "G2", "G3", "female", "male", "midline")
    }
    assert counts == {
        "astrocytoma": 33,
        "oligoastrocytoma": 29,
        "oligodendroglioma": 47,
        "G2": 51,
        "G3": 58,
        "female": 56,
        "male": 53,
        "midline": 2,
    }
