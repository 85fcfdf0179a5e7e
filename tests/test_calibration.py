"""Reliability and error detection on counted pixels."""

import math

import numpy as np
import pytest

from unet.evaluation.calibration import ErrorDetection, Reliability, area_under_curve

pytestmark = pytest.mark.quick


def test_perfect_calibration_has_no_error():
    curve = Reliability()
    curve.add(np.full(10, 0.3), np.array([1] * 3 + [0] * 7))
    assert curve.error() == pytest.approx(0)
    assert curve.as_json()["lesion_share"] == [None, None, None, 0.3, None, None, None, None, None, None]


def test_errors_add_up_over_patients():
    curve = Reliability()
    curve.add(np.array([0.0, 1.0]), np.array([0, 1]))
    curve.add(np.array([0.9, 0.9]), np.array([0, 0]))
    # bin 0 exact; bin 9 holds 1.0, 0.9, 0.9 against one lesion pixel: |2.8 − 1| / 4 pixels
    assert curve.error() == pytest.approx(0.45)
    assert curve.error(first_bin=1) == pytest.approx(0.6)
    assert curve.as_json()["pixels"] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]


def test_no_pixel_has_no_error():
    assert math.isnan(Reliability().error())


def test_area_under_curve_against_pairs():
    negatives, positives = np.array([3, 2, 0]), np.array([1, 1, 2])
    scores = [(n, p) for n in np.repeat(range(3), negatives) for p in np.repeat(range(3), positives)]
    expected = np.mean([1.0 if p > n else 0.5 if p == n else 0.0 for n, p in scores])
    assert area_under_curve(negatives, positives) == pytest.approx(expected)
    assert math.isnan(area_under_curve(negatives, np.zeros(3)))


def test_disagreement_that_marks_the_wrong_pixel_finds_it():
    detection = ErrorDetection()
    direct, mirrored = np.array([0.9, 0.8, 0.7, 0.0]), np.array([0.9, 0.8, 0.1, 0.0])
    detection.add(direct, mirrored, direct, np.array([1, 1, 1, 0]), np.array([1, 1, 0, 1]), 0.5)
    found = detection.as_json()
    assert found["auc_disagreement"] == 1.0
    assert found["auc_closeness_to_threshold"] == 1.0
    assert (found["wrong_pixels_in_question"], found["wrong_pixels_elsewhere"]) == (1, 1)
