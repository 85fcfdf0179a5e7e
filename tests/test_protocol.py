"""The published protocol on patients whose masks are known to the pixel."""

import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from unet.__main__ import main
from unet.data.clinical import ClinicalRecord
from unet.data.patients import DEMO_FOLDER, list_patients
from unet.data.slice_files import DataError
from unet.evaluation import protocol
from unet.inference.segmentation import SlicePrediction
from unet.inference.segmenter import Segmenter
from unet.postprocessing import PLAIN, PostProcessing
from unet.reports import results, slice_results

ONE = "PHANTOM_ICBM_0001_20260101"


def weights(threshold=0.5, rule=PLAIN) -> Any:
    return SimpleNamespace(name="w", sha256="0" * 64, size=160, threshold=threshold, post_processing=rule)


class Painter(Segmenter):
    """A segmenter that says what it is told, by the grey value of a slice and whether it is mirrored."""

    def __init__(self, by_number, **settings):
        self.by_number, self.weights = by_number, weights(**settings)

    @property
    def engine_name(self):
        return "none"

    def predict(self, image, statistics=None, flip_averaging=None):
        assert flip_averaging is False
        number = int(image.max())
        mirrored = image[0, 0, 0] == 0  # the black corner lies on the right, unless mirrored
        probability = self.by_number(number, mirrored).astype(np.float32)
        return SlicePrediction(probability[:, ::-1] if mirrored else probability, (), 0.0)


@pytest.fixture
def patient(tmp_path, write_patient):
    """Five slices of 16 × 16; the lesion is 4 × 4 on slices 1 to 3 (the first included), none on 4 and 5."""
    images, masks = {}, {}
    for n in range(1, 6):
        images[n] = np.full((16, 16, 3), 10 * n, np.uint8)
        images[n][0, -1] = 0
        masks[n] = np.zeros((16, 16), np.uint8)
        masks[n][4:8, 4:8] = 255 * (n <= 3)
    write_patient(tmp_path / "data", "TCGA_DU_1_1", images, masks)
    return list_patients(tmp_path / "data")[0]


def lesion(number, mirrored):
    """What the expert drew, but nothing on slice 3 and four pixels in a corner of slice 5."""
    probability = np.zeros((16, 16))
    if number in (10, 20):
        probability[4:8, 4:8] = 0.9
    if number == 50:
        probability[14:, 14:] = 0.6
    return probability


def measured(painter, patients) -> protocol.Measurement:
    found = list(protocol.evaluate_full(painter, patients, {"TCGA_DU_1": ClinicalRecord(grade="G2")}))
    *steps, last = found
    assert steps == [None] * 5 and last is not None
    return last


def test_dice_of_every_scoring(patient):
    m = measured(Painter(lesion), patient)
    # expected 48 voxels; raw predicts 32 right and 4 wrong, the largest component drops the 4
    assert m.dice["raw"] == pytest.approx(64 / 84)
    assert m.dice["largest_component"] == pytest.approx(64 / 80)
    # without the first and last slice 32 are expected and 16 right are left, the false positive is gone with its slice
    assert m.dice["peer_raw"] == m.dice["peer"] == pytest.approx(32 / 48)
    assert m.numbers["expected_voxels"] == 48
    assert m.numbers["predicted_voxels"] == {
        "raw": 36,
        "largest_component": 32,
        "flip_averaging": 36,
        "published": 36,
    }
    assert (m.numbers["institution"], m.numbers["grade"]) == ("Henry Ford Hospital", "G2")
    assert m.numbers["hd95_pixels"] == {"raw": 0.0, "published": 0.0}


def test_published_rule_and_threshold_are_the_weights_own(patient):
    m = measured(Painter(lesion, threshold=0.7), patient)
    assert m.dice["published"] == pytest.approx(64 / 80)
    m = measured(Painter(lesion, rule=PostProcessing(min_voxels=5)), patient)
    assert m.dice["published"] == pytest.approx(64 / 80)
    assert m.dice["raw"] == pytest.approx(64 / 84)


def test_flip_averaging_takes_both_passes(patient):
    # the mirrored pass sees the lesion at 0.05, so the mean of 0.9 and 0.05 falls below 0.5
    half = Painter(
        lambda number, mirrored: lesion(number, mirrored) / (18 if mirrored else 1),
        rule=PostProcessing(flip_averaging=True),
    )
    m = measured(half, patient)
    assert m.dice["flip_averaging"] == m.dice["published"] == 0
    assert m.dice["raw"] == pytest.approx(64 / 84)
    assert m.numbers["disagreement"] > 1


def test_slices_and_what_is_made_of_them(patient):
    painter = Painter(lesion)
    report = protocol.full_report([measured(painter, patient)], painter.weights, "none", {"split": "mine"})
    slices = report["protocol"]["patients"]["TCGA_DU_1_1"]["slices"]
    assert slices["expected"] == [16, 16, 16, 0, 0]
    assert slices["raw"] == [16, 16, 0, 0, 4]
    assert slices["raw_correct"] == [16, 16, 0, 0, 0]
    assert slices["highest_probability"] == [0.8999, 0.8999, 0.0, 0.0, 0.6001]
    scores = slice_results.slice_scores(report, "raw")
    assert scores == {
        "lesion_slices": 3,
        "empty_slices": 2,
        "sensitivity": 0.66667,
        "specificity": 0.5,
        "false_positive_rate": 0.5,
        "dice_on_lesion_slices": 0.66667,
    }
    # 2 of 3 lesion slices beat both empty ones, one ties with slice 4 and loses to slice 5
    assert slice_results.area_under_roc(slice_results.roc(report)) == pytest.approx((2 + 2 + 0.5) / 6)
    worst = slice_results.worst_slices(report)
    assert [(row["slice"], row["published_wrong"]) for row in worst] == [(3, 16), (5, 4)]
    by_threshold = {row["threshold"]: row["mean"] for row in results.dice_by_threshold(report)}
    assert by_threshold[0.5] == pytest.approx(64 / 84, abs=1e-5)
    assert by_threshold[0.65] == pytest.approx(64 / 80, abs=1e-5)
    assert by_threshold[0.95] == 0


def test_slices_without_expected_mask_are_scored_nowhere(tmp_path, write_patient):
    images = {n: np.full((16, 16, 3), 10 * n, np.uint8) for n in (1, 2)}
    write_patient(tmp_path, "TCGA_AA_1_1", images, {2: np.full((16, 16), 255, np.uint8)})
    painter = Painter(lambda number, mirrored: np.ones((16, 16)))
    m = list(protocol.evaluate_full(painter, list_patients(tmp_path)[0], {}))[-1]
    assert m is not None
    assert m.dice["raw"] == 1.0
    assert np.isnan(m.dice["peer"])
    report = protocol.full_report([m], painter.weights, "none", {})
    assert [row["slice"] for row in slice_results.slice_rows(report)] == [2]
    assert report["protocol"]["rows"]["peer"] == {"mean": None, "median": None, "ci95": [None, None]}


def test_a_patient_without_masks_cannot_be_scored(tmp_path, write_patient):
    write_patient(tmp_path, "TCGA_AA_1_1", {1: np.full((16, 16, 3), 9, np.uint8)}, {})
    with pytest.raises(DataError, match="TCGA_AA_1_1 has no expected masks"):
        next(protocol.run_network(create_autospec(Segmenter), list_patients(tmp_path)[0]))


def test_command_contains_the_short_report(tmp_path, capsys):
    listed, short, full, page = (tmp_path / name for name in ("list.json", "short.json", "full.json", "page.md"))
    listed.write_text(json.dumps([ONE]))
    common = ["evaluate", "--data", str(DEMO_FOLDER), "--patients", str(listed)]
    assert main([*common, "--json", str(short)]) == 0
    capsys.readouterr()
    assert main([*common, "--protocol", "full", "--json", str(full), "--markdown", str(page)]) == 0
    said = capsys.readouterr().out
    one, two = json.loads(short.read_text()), json.loads(full.read_text())
    assert {key: two[key] for key in one} == one
    assert set(two) - set(one) == {"protocol"}
    assert two["protocol"]["rows"]["raw"] == one["raw"]
    assert two["protocol"]["patients"][ONE]["dice"]["largest_component"] == one["patients"][ONE]["largest_component"]
    assert str(tmp_path) not in full.read_text()
    assert page.read_text() in said
    assert f"| raw at 0.5 | {one['raw']['mean']:.3f} |" in said
