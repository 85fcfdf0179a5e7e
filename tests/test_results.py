"""Tables behind the Results page, from literal reports; charts and their files."""

import json

import numpy as np
import pytest

from unet.data.slice_files import DataError
from unet.reports import charts, results, slice_results
from unet.reports.figures import chart_png
from unet.weights.network import WEIGHTS_FOLDER

SHORT = {
    "weights": "short",
    "threshold": 0.5,
    "patients": {
        "TCGA_CS_1_1": {"raw": 0.9, "largest_component": 0.8},
        "TCGA_DU_2_2": {"raw": 0.5, "largest_component": 0.6},
        "TCGA_DU_3_3": {"raw": None, "largest_component": None},
    },
    "raw": {"mean": 0.7, "median": 0.7, "ci95": [0.5, 0.9]},
    "largest_component": {"mean": 0.7, "median": 0.7, "ci95": [0.6, 0.8]},
}


@pytest.fixture(scope="module")
def full():
    """The shipped evaluation of the validation patients."""
    return results.read_report(WEIGHTS_FOLDER / "attention-unet-32" / "validation.json")


def test_short_report_gives_dice_and_nothing_else():
    rows = results.by_patient(SHORT, "raw")
    assert [row["patient"] for row in rows] == ["TCGA_DU_2_2", "TCGA_CS_1_1", "TCGA_DU_3_3"]
    assert results.rows_of(SHORT) == ["raw", "largest_component"]
    assert results.headline_row(SHORT) == "raw"
    assert results.dice_by_threshold(SHORT) == results.breakdown(SHORT, "size") == results.reliability(SHORT) == []
    assert slice_results.roc(SHORT) == slice_results.worst_slices(SHORT) == []


def test_compare_is_paired_by_patient():
    better = {**SHORT, "weights": "better"}
    better["patients"] = {
        "TCGA_CS_1_1": {"raw": 0.95, "largest_component": 0.8},
        "TCGA_DU_2_2": {"raw": 0.7, "largest_component": 0.6},
        "TCGA_XX_9_9": {"raw": 0.0, "largest_component": 0.0},
    }
    c = results.compare(SHORT, better, "raw")
    assert (c["patients"], c["difference"], c["better"], c["worse"]) == (2, 0.125, 2, 0)
    assert c["ci95"] == [0.05, 0.2]
    with pytest.raises(DataError, match="were not scored on the same patients"):
        results.compare(SHORT, {**better, "patients": {"A": {"raw": 1.0}}}, "raw")
    with pytest.raises(DataError, match="short has no scoring 'peer'; expected one of raw, largest_component"):
        results.compare(SHORT, better, "peer")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"patients": {}}', "3"])
def test_something_else_is_no_report(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json cannot be used.*python -m unet evaluate"):
        results.read_report(tmp_path / "x.json")
    with pytest.raises(DataError, match=r"none\.json cannot be used"):
        results.read_report(tmp_path / "none.json")


def test_json_keeps_lists_on_a_line_and_nothing_is_lost(full):
    text = results.to_json(full)
    assert json.loads(text) == full
    assert len(text.splitlines()) < 1000
    assert json.loads(results.to_json({"a": ["x, [y]", "z"], "b": []})) == {"a": ["x, [y]", "z"], "b": []}


def test_shipped_report_is_whole_and_consistent(full):
    assert len(full["patients"]) == 11
    protocol = full["protocol"]
    for patient_id, numbers in protocol["patients"].items():
        slices = numbers["slices"]
        assert sum(slices["expected"]) == numbers["expected_voxels"]
        assert sum(slices["published"]) == numbers["predicted_voxels"]["published"]
        dice = 2 * sum(slices["raw_correct"]) / (sum(slices["raw"]) + sum(slices["expected"]))
        assert dice == pytest.approx(full["patients"][patient_id]["raw"], abs=1e-5)
    assert sum(row["patients"] for row in results.breakdown(full, "size")) == 11
    assert sum(row["patients"] for row in results.breakdown(full, "institution")) == 11
    curve = slice_results.roc(full)
    assert (curve[0]["sensitivity"], curve[-1]["sensitivity"], curve[-1]["false_positive_rate"]) == (0, 1, 1)
    assert 0.9 < slice_results.area_under_roc(curve) <= 1
    assert -1 <= results.disagreement_correlation(full) <= 1


def test_worst_slices_are_worst_and_of_several_patients(full):
    worst = slice_results.worst_slices(full, count=6, per_patient=1)
    assert len({row["patient"] for row in worst}) == 6
    wrong = [row["published_wrong"] for row in worst]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] == max(row["published_wrong"] for row in slice_results.slice_rows(full))


def test_size_groups_have_sharp_edges():
    def report(voxels):
        numbers = {"expected_voxels": voxels, "dice": {"published": 1.0}}
        return {"protocol": {"rows": {}, "patients": {"A": numbers}}}

    names = [results.breakdown(report(v), "size")[0]["size"] for v in (0, 9_999, 10_000, 29_999, 30_000)]
    assert [name.split(",")[0] for name in names] == ["small", "small", "medium", "medium", "large"]


ALL_CHARTS = [
    lambda reports: charts.patients(reports, "raw", peer=True),
    charts.volumes,
    charts.roc,
    charts.threshold,
    charts.reliability,
    lambda reports: charts.breakdown(reports, "institution"),
]


@pytest.mark.parametrize("chart", ALL_CHARTS, ids=["patients", "volumes", "roc", "threshold", "reliability", "groups"])
def test_every_chart_is_a_picture_and_a_table(full, chart):
    from views.shared.charts import to_csv

    drawn = chart([full, {**full, "weights": "other"}])
    assert chart_png(drawn).startswith(b"\x89PNG")
    assert {row["weights"] for row in drawn.rows} == {"attention-unet-32", "other"}
    lines = to_csv(drawn.rows).splitlines()
    assert len(lines) == 1 + len(drawn.rows) and lines[0].startswith("weights,")


def test_models_stand_beside_each_other_only_where_places_are_names(full):
    from views.shared.charts import _figure

    modes = {}
    for chart in ALL_CHARTS:
        drawn = chart([full, {**full, "weights": "other"}])
        modes[drawn.name] = _figure(drawn).to_dict()["layout"].get("scattermode")
    assert [name for name, mode in modes.items() if mode == "group"] == ["dice_by_institution"]


def test_charts_of_a_short_report_show_dice_only():
    drawn = charts.patients([SHORT], "raw", peer=True)
    assert drawn.series[0].y == ["TCGA_CS_1_1", "TCGA_DU_2_2"]
    assert {label: value for value, label, *_ in drawn.verticals} == {
        "mean": 0.7,
        "median": 0.7,
        "peer's mean": 0.909,
        "peer's median": 0.923,
    }
    for chart in ALL_CHARTS[1:]:
        assert chart([SHORT]).rows == []


def test_two_models_are_told_apart_and_a_short_report_takes_nothing_from_a_full_one(full):
    one, other = ({**full, "protocol": {**full["protocol"], "threshold": value}} for value in (0.5, 0.6))
    other["weights"] = "other"
    assert [series.name for series in charts.roc([one, other]).series if series.kind == "points"] == [
        "attention-unet-32, as published",
        "other, as published",
    ]
    assert [(value, label) for value, label, *_ in charts.threshold([one, other]).verticals] == [
        (0.5, "published, attention-unet-32"),
        (0.6, "published, other"),
    ]
    assert [value for value, *_ in charts.threshold([SHORT, other]).verticals] == [0.6]
    (point,) = (series for series in charts.roc([SHORT, other]).series if series.kind == "points")
    assert point.y == [slice_results.slice_scores(other, "published")["sensitivity"]]


def test_correlation_of_too_few_patients_is_unknown():
    assert np.isnan(results.disagreement_correlation(SHORT))
