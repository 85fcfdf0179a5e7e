"""Uploaded patients: what is a slice is stored, everything else is named and left out."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.upload_files import zip_bytes
from unet.data.patients import list_patients, load_volume
from unet.data.slice_files import DataError
from unet.scans import patient_folders, sandbox
from unet.scans.patient_folders import store_patients


def tiff(shape=(16, 16, 3), value=7) -> bytes:
    return cv2.imencode(".tif", np.full(shape, value, np.uint8))[1].tobytes()


def test_what_is_stored_is_read_as_a_patient(tmp_path):
    files = [("some/folder/A_1.tif", tiff()), ("A_1_mask.tif", tiff((16, 16), 255)), ("x\\A_2.TIFF", tiff())]
    assert store_patients(files, tmp_path) == []
    (patient,), problems = list_patients(tmp_path)
    assert (patient.patient_id, patient.slice_numbers, problems) == ("A", [1, 2], [])
    assert load_volume(patient).has_mask.tolist() == [True, False]


def test_a_patient_of_more_slices_than_a_page_shows_pictures_keeps_them_all(tmp_path):
    names = [f"A_{number}{mask}.tif" for number in range(1, 106) for mask in ("", "_mask")]
    assert store_patients([(name, tiff((16, 16), 255) if "mask" in name else tiff()) for name in names], tmp_path) == []
    volume = load_volume(list_patients(tmp_path)[0][0])
    assert (len(volume), int(volume.has_mask.sum())) == (105, 105)


def test_masks_of_0_and_1_are_masks(tmp_path):
    store_patients([("A_1.tif", tiff()), ("A_1_mask.tif", tiff((16, 16), 1))], tmp_path)
    assert load_volume(list_patients(tmp_path)[0][0]).expected_mask.sum() == 256


@pytest.mark.parametrize(
    "name",
    ["../../A_1.tif", "..\\A_1.tif", "/etc/A_1.tif", "C:\\A_1.tif", "a/../../A_1.tif"],
)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    folder = tmp_path / "private"
    folder.mkdir()
    store_patients([(name, tiff())], folder)
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.tif")] == ["A/A_1.tif"]
    assert [path.name for path in tmp_path.iterdir()] == ["private"]


@pytest.mark.parametrize(
    "name", ["._A_1.tif", "A.tif", "A_1.png", "A_x.tif", "..", "", ".._1.tif", "Ä_1.tif", "A_1.tif\n"]
)
def test_other_names_are_left_out_and_said(tmp_path, name):
    problems = store_patients([("B_1.tif", tiff()), (name, tiff())], tmp_path)
    assert len(problems) == 1 and "not named <patient>_<n>.tif" in problems[0]
    assert [path.name for path in tmp_path.rglob("*.tif")] == ["B_1.tif"]


def huge_header() -> bytes:
    """A TIFF of 8 + 30 bytes that promises 5000 × 5000 pixels."""
    entries = [(256, 5000), (257, 5000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 5000), (279, 1)]
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\x00" + struct.pack("<I", 8) + ifd + struct.pack("<I", 0)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "the file is empty"),
        (b"II*\x00", "cut off or damaged"),
        (png(), "expected a TIFF of one"),
        (huge_header(), "more than the file can hold"),
        (b"II*\x00" + bytes(patient_folders.MAX_FILE), "8 MB"),
        (tiff((1100, 16)), "16×1100 pixels, a slice has at most 1024×1024"),
        (zip_bytes([("A_3.tif", tiff()), ("B_4.tif", tiff())]), "B_4.tif: came out of an archive"),
        (cv2.imencode(".tif", np.full((16, 16), 300, np.uint16))[1].tobytes(), "1 channels of 16 bits"),
    ],
    ids=["empty", "truncated", "png", "huge", "heavy", "long", "zip", "16 bit"],
)
def test_content_that_is_no_slice_is_left_out_and_said(tmp_path, content, said):
    problems = store_patients([("A_1.tif", tiff()), ("A_2.tif", content)], tmp_path)
    assert len(problems) == 1 and said in problems[0]
    assert not (tmp_path / "A" / "A_2.tif").exists()


def test_nothing_usable_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match="hold no slice. Expected a folder for each patient"):
        store_patients([("A_1_mask.tif", tiff((16, 16)))], tmp_path)


def test_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(patient_folders, "MAX_FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        store_patients([(f"A_{n}.tif", tiff()) for n in range(3)], tmp_path)


def test_nothing_is_decoded_in_this_process(tmp_path, monkeypatch):
    started = []
    original = sandbox._run_child
    monkeypatch.setattr(sandbox, "_run_child", lambda *args: started.append(args) or original(*args))
    monkeypatch.setattr(cv2, "imdecode", None)
    assert store_patients([("A_1.tif", tiff(value=9)), ("B_1.tif", tiff())], tmp_path) == []
    assert len(started) == 2  # a patient each
    assert (np.asarray(Image.open(tmp_path / "A" / "A_1.tif")) == 9).all()
