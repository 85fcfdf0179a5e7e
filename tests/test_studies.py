"""Whole studies: headers first, FLAIR and T1 before the rest, and the rest when it is asked for."""

import io
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.testing.v1 import AppTest

from tests.segmentations import files_of, seg_bytes, segmentation, series
from tests.upload_files import AXIAL, dicom_bytes, dicom_series, dicom_slice, nifti_bytes, zip_bytes
from unet.scans import reader
from unet.scans.contents import Content
from unet.scans.found import Study
from unet.scans.mapping import reading_order
from unet.scans.reader import read_files
from unet.scans.sandbox import read_study
from unet.scans.scan import Room
from views.server.stored_files import StoredBytes, StoredFiles

NAMES = ("t2_swi3d_tra", "TOF_3D", "ep2d_diff_ADC", "t1_mprage", "t1_mprage_km", "t2_flair")
STACK = np.random.default_rng(0).integers(0, 900, (6, 32, 32), np.uint16)
SERIES_BYTES = 4 * STACK.size


def study() -> list[tuple[str, bytes]]:
    """Six series of one size, FLAIR last."""
    files = []
    for number, name in enumerate(NAMES):
        series = dicom_series(STACK + number, name, f"1.2.3.4.{number}")
        files += [(f"{number}/{file}", content) for file, content in series]
    return files


def read(files: list[tuple[str, bytes]], **more) -> Study:
    return reader.read_study([(name, Content.of(name, content)) for name, content in files], **more)


@pytest.fixture
def little_room(monkeypatch):
    """An upload may decode to three and a half of the series."""
    monkeypatch.setattr(reader, "Room", lambda: Room(SERIES_BYTES * 7 // 2))


@pytest.mark.parametrize("packed", [False, True])
def test_flair_and_t1_are_decoded_before_the_rest(little_room, packed):
    found = read([("study.zip", zip_bytes(study()))] if packed else study())
    assert [scan.name for scan in found.scans] == ["t1_mprage", "t1_mprage_km", "t2_flair"]
    assert [one.name for one in found.waiting] == ["t2_swi3d_tra", "TOF_3D", "ep2d_diff_ADC"]
    assert found.problems == []
    first = found.waiting[0]
    assert (first.file_format, first.shape, first.decoded) == ("DICOM", (6, 32, 32), SERIES_BYTES)
    assert (first.plane, first.spacing, first.modality) == ("axial", (6.0, 1.0, 1.0), "MR")
    assert first.guesses == ("another picture",)


def test_what_waits_is_decoded_when_it_is_asked_for(little_room):
    found = read(study())
    again = read(study(), wanted=frozenset(found.waiting[1].keys))
    assert [scan.name for scan in again.scans] == ["TOF_3D"]
    np.testing.assert_array_equal(again.scans[0].voxels[..., 0], STACK + 1)
    assert (again.problems, again.waiting) == ([], [])


def test_pixels_of_what_waits_are_not_looked_at(little_room):
    files = [(name, content[:-900] if name.startswith("0/") else content) for name, content in study()]
    found = read(files)
    assert found.problems == []
    asked = read(files, wanted=frozenset(found.waiting[0].keys))
    assert "the pixels cannot be decoded" in asked.problems[0]


def test_niftis_wait_with_what_their_header_says(little_room):
    file = nifti_bytes(np.ascontiguousarray(STACK.transpose(2, 1, 0)).astype(np.float32), AXIAL)
    found = read([(f"{name}.nii", file) for name in ("tof", "swi", "adc", "t1", "t1_km", "flair")])
    assert [scan.name for scan in found.scans] == ["t1.nii", "t1_km.nii", "flair.nii"]
    assert [(one.name, one.shape, one.plane) for one in found.waiting] == [
        (f"{name}.nii", (6, 32, 32), "axial") for name in ("tof", "swi", "adc")
    ]


def test_room_is_kept_for_a_mask(little_room):
    taken = {
        name: series(6, 32, 32, SeriesDescription=name, SeriesInstanceUID=f"1.2.3.4.{number}")
        for number, name in enumerate(("TOF_3D", "ep2d_diff_ADC", "t2_swi3d_tra", "t2_flair"))
    }
    drawn = np.zeros((6, 32, 32), bool)
    drawn[2, 5:9, 5:9] = True
    files = [file for name, datasets in taken.items() for file in files_of(datasets, name)]
    found = read([*files, ("seg.dcm", seg_bytes(segmentation(taken["t2_flair"], {"Tumor": drawn})))])
    assert found.problems == []
    assert [scan.file_format for scan in found.scans] == ["DICOM", "DICOM", "DICOM-SEG"]
    assert found.scans[1].name == "t2_flair"
    assert found.scans[2].voxels.sum() == 16
    assert len(found.waiting) == 2


def test_where_nothing_can_be_asked_for_what_waits_is_said(little_room):
    scans, problems = read_files(study())
    assert len(scans) == 3
    assert problems[0] == (
        "t2_swi3d_tra: 0 MB once decoded; an upload may decode to 512 MB, and other series come first. Upload it alone."
    )


def test_everything_is_decoded_where_it_fits():
    found = read(study())
    assert [scan.name for scan in found.scans] == list(NAMES)
    assert found.waiting == []


def test_of_two_pictures_to_segment_the_first_is_read_whole():
    series = (("flair", "1"), ("t1", "1"), ("tof", "1"), ("flair", "2"), ("t1 gd", "1"))
    files = [
        (f"{number}.dcm", dicom_bytes(dicom_slice(STACK[0], SeriesDescription=name, StudyInstanceUID=study)))
        for number, (name, study) in enumerate(series)
    ]
    for number, (name, content) in enumerate(files):
        files[number] = name, content.replace(b"1.2.3.4\0", b"1.2.3." + str(number).encode() + b"\0")
    scans, _ = read_files(files)
    assert [scan.name for scan in scans] == ["flair", "t1", "tof", "flair", "t1 gd"]
    assert reading_order(scans) == [0, 1, 4, 3, 2]


def test_a_header_longer_than_its_first_part_is_read():
    dataset = dicom_slice(STACK[0])
    dataset.private_block(0x11, "LONG", create=True).add_new(1, "OB", bytes(200_000))
    [scan], problems = read_files([("a.dcm", dicom_bytes(dataset))])
    assert problems == []
    np.testing.assert_array_equal(scan.voxels[0, :, :, 0], STACK[0])


def test_files_on_the_disk_are_read_where_they_lie(tmp_path):
    files = []
    for name, content in study():
        path = tmp_path / name.replace("/", "_")
        path.write_bytes(content)
        files.append((name, path))
    found = read_study(files)
    assert [scan.name for scan in found.scans] == list(NAMES)
    np.testing.assert_array_equal(found.scans[5].voxels[..., 0], STACK + 5)
    assert len(list(tmp_path.iterdir())) == len(files)


def test_the_child_reads_only_what_is_wanted():
    found = read_study(study(), wanted=tuple(map(str, range(6, 12))))
    assert [scan.name for scan in found.scans] == ["TOF_3D"]
    np.testing.assert_array_equal(found.scans[0].voxels[..., 0], STACK + 1)


def test_uploads_lie_on_the_disk_for_as_long_as_their_visit():
    stored = StoredFiles("/")
    for file_id, content in (("a", b"12345"), ("../b", b"678")):
        stored.store("visit", UploadedFileRec(file_id, f"{file_id}.png", "image/png", b""), io.BytesIO(content))
    assert stored.held("visit") == (2, 8)
    first, second = (record.data for record in stored.get_files("visit", ["a", "../b"]))
    assert isinstance(first, StoredBytes)
    assert isinstance(second, StoredBytes)
    assert (len(first), bytes(io.BytesIO(first).getvalue()), first.path.read_bytes()) == (5, b"", b"12345")
    assert first.path.parent == second.path.parent  # an id of a browser names no path
    assert sum(stat.byte_length for stats in stored.get_stats().values() for stat in stats) == 8
    stored.store("visit", UploadedFileRec("a", "a.png", "image/png", b""), io.BytesIO(b"1"))
    assert (stored.held("visit"), first.path.exists()) == ((2, 4), False)
    stored.remove_file("visit", "a")
    assert stored.held("visit") == (1, 3)
    stored.remove_session_files("visit")
    assert (stored.held("visit"), second.path.parent.exists()) == ((0, 0), False)


def read_here(files: list[tuple[str, bytes | Path]], visitor: str, wanted: tuple[str, ...] | None = None) -> Study:
    """Read in this process, where the room is little."""
    contents = [(name, Content.of(name, source)) for name, source in files]
    return reader.read_study(contents, wanted=None if wanted is None else frozenset(wanted))


def test_the_page_offers_what_waits(little_room, monkeypatch):
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setattr("views.upload.reading.read_study", read_here)
    monkeypatch.setattr("views.upload.reading.MAX_DECODED", SERIES_BYTES)
    app = AppTest.from_file("../pages/upload.py", default_timeout=120)
    app.query_params["simple_viewer"] = "true"
    app.run()
    app.file_uploader[0].set_value([(name, content, "application/dicom") for name, content in study()])
    app.run()
    assert not app.exception
    captions = [one.value for one in app.caption]
    assert "36 files, 0 MB in 6 folders: 6 series or pictures." in captions
    assert any(caption.startswith("Not read: 3.") for caption in captions)
    cards = [one.value for one in app.markdown]
    line = "**TOF\\_3D** · taken for another picture · DICOM · 6 slices of 32 × 32 · MR · axial · "
    assert line + "1.00 × 1.00 mm, slices 6.00 mm apart · 0 MB once read" in cards
    assert [box.value and box.value.scan for box in app.selectbox[:3]] == [0, 2, 1]
    for number, left in ((1, [0, 2]), (2, [0, 1])):  # the second takes the place of the first
        app.button(key=f"read_waiting_{number}").click().run()
        assert not app.exception
        assert [button.key for button in app.button if str(button.key).startswith("read_waiting")] == [
            f"read_waiting_{one}" for one in left
        ]
        assert app.session_state.reading.scans[3].name == NAMES[number]
    np.testing.assert_array_equal(app.session_state.reading.scans[3].voxels[..., 0], STACK + 2)
