"""The command line reads what the page reads and writes what the page writes."""

import csv
import gzip
import io

import nibabel
import numpy as np
import pydicom
import pytest

from tests.segmentations import files_of, seg_bytes, segmentation, series, valid
from tests.upload_files import dicom_bytes, dicom_slice, dicom_study, nifti_bytes, nifti_of, png_bytes, zip_bytes
from unet.__main__ import main
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.metrics import dice_score
from unet.scans.samples import SAMPLES


@pytest.fixture(scope="module")
def phantom():
    return load_volume(list_patients(DEMO_FOLDER)[0][0])


def test_a_zip_of_dicom_is_written_in_every_format(phantom, tmp_path, capsys):
    study = tmp_path / "study.zip"
    part = slice(10, 18)
    study.write_bytes(zip_bytes(dicom_study(phantom.images[part].astype(np.uint16) * 16)))
    formats = "png,nifti,dicom-seg,csv,html"
    assert main(["predict", str(study), "--output", str(tmp_path / "out"), "--format", formats]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {
        "series_1_predicted_mask.nii.gz",
        "series_1_seg.dcm",
        "series_1_slices.csv",
        "series_1_report.html",
    } < written
    assert {f"series_1_{n:03d}_overlay.png" for n in range(1, 9)} < written
    content = gzip.decompress((tmp_path / "out" / "series_1_predicted_mask.nii.gz").read_bytes())
    mask = np.asarray(nibabel.Nifti1Image.from_bytes(content).dataobj).transpose(2, 1, 0)
    valid((tmp_path / "out" / "series_1_seg.dcm").read_bytes())
    assert dice_score(mask, phantom.expected_mask[part]) > 0.85
    rows = csv.DictReader((tmp_path / "out" / "series_1_slices.csv").open(encoding="utf-8-sig"))
    assert {row["engine"] for row in rows} == {"OpenVINO int8"}  # what the page runs
    said = capsys.readouterr().out
    assert f"series_1: {int(mask.sum())} voxels, {mask.sum() * 0.006:.2f} mL at threshold 0.5" in said
    sequences = (
        "pre-contrast: ax T1 pre (8 files, 0/{} …); FLAIR: ax FLAIR (8 files, 1/{} …); post-contrast: ax T1 post gd"
    )
    first = "IM0002"  # of the lowest slice
    assert "series_1: " + sequences.format(first, first) in said


def test_a_format_that_does_not_fit_is_said(phantom, tmp_path, capsys):
    (tmp_path / "flair.nii").write_bytes(nifti_of(phantom.images[12:14]))
    arguments = ["predict", str(tmp_path / "flair.nii"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--format", "csv,dicom-seg"]) == 1
    assert (tmp_path / "out" / "flair_slices.csv").exists()
    assert "flair: no DICOM-SEG" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--format", "jpeg"])
    assert "expected some of html, dicom-seg, nifti, csv, png" in capsys.readouterr().err


def test_files_of_one_name_do_not_overwrite_each_other(phantom, tmp_path, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "flair.nii").write_bytes(nifti_of(phantom.images[12:14]))
    folders = [str(tmp_path / folder) for folder in ("a", "b")]
    assert main(["predict", *folders, "--output", str(tmp_path / "out"), "--format", "csv"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"flair_slices.csv", "flair_2_slices.csv"}


def test_what_is_unlike_the_training_set_is_said(phantom, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(png_bytes(255 - phantom.images[13]))
    arguments = ["predict", str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), "--format", "html"]
    assert main(arguments) == 0
    assert "perhaps inverted" in capsys.readouterr().out
    assert "perhaps inverted" in (tmp_path / "out" / "a_report.html").read_text(encoding="utf-8")


def test_a_bids_folder_says_what_became_what_and_ends_with_0(phantom, tmp_path, capsys):
    part = phantom.images[12:14].transpose(2, 1, 0, 3)
    folder = tmp_path / "study"
    folder.mkdir()
    for which, name in enumerate(("T1w", "FLAIR", "ce-gd_T1w")):
        content = nifti_bytes(np.ascontiguousarray(part[..., which]))
        (folder / f"sub-01_{name}.nii").write_bytes(content)
    (folder / "sub-01_T2w.nii").write_bytes(nifti_bytes(np.ascontiguousarray(part[..., 0])))
    (folder / "sub-01_dseg.nii").write_bytes(nifti_bytes((part[..., 0] > 60).astype(np.uint8)))
    for name in ("README", "dataset_description.json", "sub-01_dwi.bval", "participants.tsv"):
        (folder / name).write_text("1 2 3")
    assert main(["predict", str(folder), "--output", str(tmp_path / "out"), "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[0] == (
        "sub-01_FLAIR: pre-contrast: sub-01_T1w.nii; FLAIR: sub-01_FLAIR.nii; post-contrast: sub-01_ce-gd_T1w.nii; "
        "expected mask: sub-01_dseg.nii"
    )
    assert "not used: sub-01_T2w.nii (another picture)" in said.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sub-01_FLAIR_slices.csv"]


def test_a_report_in_a_study_is_said_and_no_failure(phantom, tmp_path, capsys):
    report = dicom_slice(np.zeros((4, 4)), Modality="SR", Rows=None, Columns=None, PixelData=None)
    files = [*dicom_study(phantom.images[12:14].astype(np.uint16)), ("report", dicom_bytes(report))]
    (tmp_path / "study.zip").write_bytes(zip_bytes(files))
    arguments = ["predict", str(tmp_path / "study.zip"), "--output", str(tmp_path / "out"), "--format", "csv"]
    assert main(arguments) == 0
    assert capsys.readouterr().err == "report: DICOM without a picture (SR), such as a report or a plan; left out.\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("flair.nii", b"no picture", "unknown file type"),
        ("README", b"words", "holds no picture"),
        ("a_mask.png", png_bytes(np.eye(32, dtype=np.uint8) * 255), "only masks were found"),
    ],
)
def test_an_upload_without_a_picture_is_a_failure(tmp_path, capsys, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert main(["predict", str(tmp_path / name), "--output", str(tmp_path / "out"), "--format", "csv"]) == 1
    assert said in capsys.readouterr().err


def test_sequences_that_moved_are_said(tmp_path, capsys):
    [sample] = [sample for sample in SAMPLES if sample.key == "moved"]
    for name, content in sample.make():
        (tmp_path / name).write_bytes(content)
    paths = [str(path) for path in sorted(tmp_path.glob("*.nii.gz"))]
    assert main(["predict", *paths, "--output", str(tmp_path / "out"), "--format", "csv"]) == 0
    said = capsys.readouterr().out
    assert "The head lies elsewhere on pre-contrast and post-contrast than on FLAIR, about 9 mm" in said
    assert "Give --align to move it onto FLAIR" in said
    assert main(["predict", *paths, "--output", str(tmp_path / "out"), "--format", "csv", "--align"]) == 0
    said = capsys.readouterr().out
    assert "Moved onto FLAIR: pre-contrast and post-contrast, about 9 mm, turned by about 6°." in said
    assert "lies elsewhere" not in said


def test_a_mask_among_the_files_is_scored_against(phantom, tmp_path, capsys):
    datasets = series(4, 256, 256)
    for one, image in zip(datasets, phantom.images[12:16, ..., 1], strict=True):
        one.PixelData = (image.astype(np.uint16) * 16).tobytes()
    drawn = segmentation(datasets, {"Lesion": phantom.expected_mask[12:16]})
    for name, content in (*files_of(datasets, "study"), ("study/seg.dcm", seg_bytes(drawn))):
        (tmp_path / "study").mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    options = ["--format", "csv,dicom-seg", "--name-patient", "--decimal-comma"]
    assert main(["predict", str(tmp_path / "study"), "--output", str(tmp_path / "out"), *options]) == 0
    said = capsys.readouterr().out
    assert "FLAIR: ax FLAIR (4 files, 0.dcm …); post-contrast: missing; expected mask: Segmentation" in said
    assert float(said.partition("volume Dice ")[2].split()[0]) > 0.7
    seg = pydicom.dcmread(io.BytesIO(valid((tmp_path / "out" / "study_1_seg.dcm").read_bytes())))
    assert seg.PatientName == "Doe^Jane"
    assert ";" in (tmp_path / "out" / "study_1_slices.csv").read_text(encoding="utf-8-sig").splitlines()[0]
