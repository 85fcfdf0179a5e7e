"""Scores by patient, on volumes; and the command line that prints them."""

import json
import shutil
import subprocess
import sys
from unittest.mock import create_autospec

import cv2
import numpy as np
import pytest

from unet.__main__ import main
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.slice_files import DataError
from unet.data.splits import published_splits
from unet.evaluation import evaluate as evaluation
from unet.evaluation.evaluate import PatientScore
from unet.inference.segmentation import SlicePrediction
from unet.inference.segmenter import Segmenter

TWO = ["PHANTOM_ICBM_0001_20260101", "PHANTOM_ICBM_0003_20260103"]


@pytest.fixture
def patients():
    return list_patients(DEMO_FOLDER)[0]


class Oracle(Segmenter):
    """Predicts the expected mask, with one pixel more in a corner of the first slice."""

    def __init__(self, patients):
        self._masks = {}
        for volume in map(load_volume, patients):
            masks = volume.expected_mask.copy()
            masks[0, 0, 0] = 1
            self._masks |= {image.tobytes(): mask for image, mask in zip(volume.images, masks, strict=True)}

    def predict(self, image, statistics=None, flip_averaging=None):
        assert flip_averaging is False
        return SlicePrediction(self._masks[image.tobytes()].astype(np.float32), (), 0.0)


def test_evaluate_scores_volumes(patients):
    score = next(evaluation.evaluate(Oracle(patients[:1]), patients[:1]))
    voxels = int(load_volume(patients[0]).expected_mask.sum())
    assert score.patient_id == "PHANTOM_ICBM_0001_20260101"
    assert score.raw == pytest.approx(2 * voxels / (2 * voxels + 1))
    assert score.largest_component == 1.0


def test_largest_component_costs_a_patient_with_two_lesions(patients):
    chosen = [patient for patient in patients if patient.patient_id == "PHANTOM_ICBM_0003_20260103"]
    score = next(evaluation.evaluate(Oracle(chosen), chosen))
    assert score.raw > 0.999
    assert 0.5 < score.largest_component < 0.95


def test_slices_without_expected_mask_count_on_neither_side(tmp_path, write_patient):
    images = {n: np.full((16, 16, 3), n, np.uint8) for n in (1, 2)}
    write_patient(tmp_path, "TCGA_AA_1_1", images, {2: np.full((16, 16), 255, np.uint8)})
    patients = list_patients(tmp_path)[0]
    everything = create_autospec(Segmenter, instance=True)
    everything.predict.return_value = SlicePrediction(np.ones((16, 16), np.float32), (), 0.0)
    assert next(evaluation.evaluate(everything, patients)).raw == 1.0


def test_a_patient_without_masks_cannot_be_scored(tmp_path, write_patient):
    write_patient(tmp_path, "TCGA_AA_1_1", {1: np.full((16, 16, 3), 9, np.uint8)}, {})
    with pytest.raises(DataError, match="TCGA_AA_1_1 has no expected masks"):
        next(evaluation.evaluate(create_autospec(Segmenter), list_patients(tmp_path)[0]))


def test_report_of_literal_scores():
    scores = [PatientScore("A", 0.9, 0.95), PatientScore("B", 0.7, 0.5), PatientScore("C", float("nan"), float("nan"))]
    result = evaluation.report(scores, "some-weights")
    assert result["patients"] == {
        "A": {"raw": 0.9, "largest_component": 0.95},
        "B": {"raw": 0.7, "largest_component": 0.5},
        "C": {"raw": None, "largest_component": None},
    }
    assert (result["raw"]["mean"], result["raw"]["median"], result["raw"]["ci95"]) == (0.8, 0.8, [0.7, 0.9])
    assert result["largest_component"]["mean"] == 0.725
    assert (result["weights"], result["threshold"]) == ("some-weights", 0.5)
    lines = evaluation.table(result).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["C", "B", "A"]
    assert lines[4].split() == ["mean", "0.8000", "0.7250"]


def test_choose_patients(patients, tmp_path):
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps(TWO))
    assert [p.patient_id for p in evaluation.choose_patients(patients, listed, None)] == TWO
    listed.write_text(json.dumps({"mine": TWO[:1], "others": TWO}))
    assert [p.patient_id for p in evaluation.choose_patients(patients, listed, "mine")] == TWO[:1]
    assert len(evaluation.choose_patients(patients, None, None)) == 6
    for content, split, message in (
        ("{", None, "cannot be used"),
        ("[]", None, "no list of patient ids"),
        ('{"mine": []}', "yours", "expected one of mine"),
        ('["TCGA_NO_BODY_1"]', None, "the first is TCGA_NO_BODY_1"),
        ("[[1]]", None, "no list of patient ids"),
        (json.dumps([TWO[0], *TWO]), None, f"lists {TWO[0]} more than once"),
    ):
        listed.write_text(content)
        with pytest.raises(DataError, match=message):
            evaluation.choose_patients(patients, listed, split)
    with pytest.raises(DataError, match="10 of 10 patients are not in the folder"):
        evaluation.choose_patients(patients, None, "test")


def test_evaluate_command_writes_what_it_prints(tmp_path, capsys):
    listed, out = tmp_path / "list.json", tmp_path / "scores.json"
    listed.write_text(json.dumps(TWO))
    assert main(["evaluate", "--data", str(DEMO_FOLDER), "--patients", str(listed), "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert list(result["patients"]) == TWO
    assert set(result) == {"patients", "raw", "largest_component", "weights", "threshold"}
    assert result["raw"]["mean"] == pytest.approx(sum(p["raw"] for p in result["patients"].values()) / 2, abs=1e-4)
    assert f"{result['raw']['mean']:6.4f}" in capsys.readouterr().out


@pytest.mark.parametrize("protocol", ["short", "full"])
def test_evaluate_command_says_which_files_it_did_without(tmp_path, capsys, protocol):
    folder = tmp_path / "data" / TWO[0]
    shutil.copytree(DEMO_FOLDER / TWO[0], folder)
    (folder / f"{TWO[0]}_14_mask.tif").unlink()
    whole = (folder / f"{TWO[0]}_15.tif").read_bytes()
    (folder / f"{TWO[0]}_15.tif").write_bytes(whole[:100])
    assert main(["evaluate", "--data", str(tmp_path / "data"), "--protocol", protocol]) == 0
    said = capsys.readouterr().err
    assert f"{TWO[0]}_14_mask.tif is missing. Slice 14 is shown but not scored" in said
    assert f"{TWO[0]}_15.tif: 100 bytes, not a complete TIFF" in said


@pytest.mark.parametrize("chosen", [[], ["--split", "test"]])
def test_test_patients_are_not_scored_by_the_way(tmp_path, write_tiny_patient, capsys, chosen):
    for patient_id in published_splits()["test"]:
        write_tiny_patient(tmp_path, patient_id, (1,))
    command = ["evaluate", "--data", str(tmp_path), *chosen]
    assert main(command) == 1
    assert "10 of these 10 patients are test patients" in capsys.readouterr().err
    assert main([*command, "--open-test"]) == 0
    assert "10 patients, every slice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--json", "no/such/folder/x.json"], "the folder no/such/folder does not exist"),
        (["evaluate", "--markdown", "no/such/folder/x.md"], "the folder no/such/folder does not exist"),
        (["predict", "x.png", "--output", "out", "--threshold", "50"], "50: expected a number from 0 to 1"),
        (["predict", "x.png", "--output", "out", "--threshold", "nan"], "nan: expected a number from 0 to 1"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert message in capsys.readouterr().err


def test_predict_command_writes_masks_and_overlays(tmp_path, capsys, patients):
    slices = [patients[0].images[number] for number in (2, 14)]
    assert main(["predict", *map(str, slices), "--output", str(tmp_path / "out")]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    stem = "PHANTOM_ICBM_0001_20260101"
    assert written == sorted(f"{stem}_{n}_{what}.png" for n in (2, 14) for what in ("predicted_mask", "overlay"))
    mask = cv2.imread(str(tmp_path / "out" / f"{stem}_14_predicted_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask is not None and mask.shape == (256, 256)
    assert set(np.unique(mask)) == {0, 255}
    assert f"{stem}_14.tif: {(mask > 0).sum()} pixels at threshold" in capsys.readouterr().out


def test_predict_goes_on_after_a_bad_file(tmp_path, capsys, patients):
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"no picture")
    good = patients[0].images[14]
    assert main(["predict", str(bad), str(tmp_path / "none.tif"), str(good), "--output", str(tmp_path / "out")]) == 1
    assert (tmp_path / "out" / f"{good.stem}_overlay.png").exists()
    said = capsys.readouterr().err
    assert "bad.tif: unknown file type; supported: DICOM, NIfTI" in said
    assert "none.tif does not exist" in said
    assert "2 of the files could not be used" in said


def test_a_wrong_name_is_one_plain_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "unet", "evaluate", "--data", str(DEMO_FOLDER), "--weights", "no-such"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "No weights in" in done.stderr and "attention-unet-32" in done.stderr
    assert "Traceback" not in done.stderr


def test_real_patients_score_as_on_the_card(lgg_root, tmp_path, capsys):
    # one patient the network learned from: a floor that only a broken chain would miss
    listed, out = tmp_path / "list.json", tmp_path / "scores.json"
    listed.write_text(json.dumps(["TCGA_CS_4941_19960909"]))
    assert main(["evaluate", "--data", str(lgg_root), "--patients", str(listed), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["raw"]["mean"] > 0.8
