"""The command line reads what the page reads and writes what the page writes."""

import csv
import gzip

import nibabel
import numpy as np
import pytest

from tests.upload_files import dicom_study, nifti_of, png_bytes, zip_bytes
from unet.__main__ import main
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.metrics import dice_score


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
    assert dice_score(mask, phantom.expected_mask[part]) > 0.85
    rows = csv.DictReader((tmp_path / "out" / "series_1_slices.csv").open())
    assert {row["engine"] for row in rows} == {"OpenVINO int8"}  # what the page runs
    said = capsys.readouterr().out
    assert f"series_1: {int(mask.sum())} voxels, {mask.sum() * 0.006:.2f} mL at threshold 0.5" in said
    assert "series_1: pre-contrast: ax T1 pre; FLAIR: ax FLAIR; post-contrast: ax T1 post gd" in said


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
