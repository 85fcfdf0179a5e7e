"""The training loop: what is drawn, what a run leaves behind, and that a resumed run is the same run."""

import argparse
import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import train as command_line
from unet.data.patients import DEMO_FOLDER, Patient, list_patients
from unet.data.slice_files import DataError
from unet.data.splits import published_splits, split_of
from unet.data.volume import Volume
from unet.jobs.runners import local_handle
from unet.losses import LOSSES
from unet.model import ARCHITECTURES, LEVELS, attention_unet, built_in, input_channels
from unet.preprocessing import IntensityStatistics, intensity_statistics
from unet.training import config as config_module
from unet.training import estimate as estimate_module
from unet.training import loop as training
from unet.training import validation
from unet.training.arguments import add_settings
from unet.training.augmentation import NO_AUGMENTATION, Augmentation
from unet.training.config import ARCHITECTURES as NETWORKS
from unet.training.config import (
    LOSS_NAMES,
    SIDE_MULTIPLE,
    TrainingConfig,
    augmentation_without,
    learning_rate_at,
)
from unet.training.devices import gpus, mixed_precision_policy
from unet.training.endings import TrainingStopped
from unet.training.estimate import estimate
from unet.training.footprint import parameters
from unet.training.kernels import choose_kernels
from unet.training.learner import Learner
from unet.training.loop import TrainingError, train
from unet.training.run_folder import RunFolder, read_config
from unet.training.sampling import Example, SliceSampler, load_examples, overfit_subset, split_patients
from unet.weights.arrays import assign_arrays, load_arrays
from unet.weights.network import find_weights

PROJECT = Path(__file__).resolve().parent.parent
TINY = TrainingConfig(filters=2, sizes=(32,), epochs=4, batch_size=2, learning_rate=1e-2, seed=5, epoch_slices=8)
PLAIN = IntensityStatistics(*(np.full(3, value, np.float32) for value in (0, 255, 0, 100)))


def sampler_of(examples: list[Example], config: TrainingConfig) -> SliceSampler:
    return SliceSampler(examples, config.batch_size, config.seed, config.augmentation)


def quiet(line: str) -> None:
    """Say nothing."""


def head(patient_id: str, seed: int) -> Example:
    """A patient of 4 slices of 32 × 32, two of them with a bright square that the mask outlines."""
    rng = np.random.default_rng(seed)
    images = np.zeros((4, 32, 32, 3), np.uint8)
    images[:, 3:29, 4:28] = rng.integers(70, 110, (4, 26, 24, 3))
    mask = np.zeros((4, 32, 32), np.uint8)
    row, column = rng.integers(6, 16, 2)
    mask[1:3, row : row + 8, column : column + 8] = 1
    images[mask == 1] += np.array([0, 120, 20], np.uint8)
    volume = Volume(patient_id, images, mask, np.ones(4, bool), np.arange(1, 5))
    return Example(volume, intensity_statistics(images))


LEARN, JUDGE = [head("A", 1), head("B", 2), head("C", 3)], [head("D", 4), head("E", 5)]


def flat(value: int, lesions: int, empties: int) -> Example:
    """A patient whose slices are all of one grey value, so that a drawn slice tells whose it is."""
    slices = lesions + empties
    images = np.full((slices, 16, 16, 3), value, np.uint8)
    mask = np.zeros((slices, 16, 16), np.uint8)
    mask[:lesions, 4:12, 4:12] = 1
    return Example(Volume(str(value), images, mask, np.ones(slices, bool), np.arange(slices)), PLAIN)


def rows_of(folder: Path) -> list[dict]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- settings


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, "none of slices, epochs and minutes is set"),
        ({"epochs": 0}, "epochs 0; expected a whole number above 0"),
        ({"epochs": -1}, "epochs -1; expected a whole number above 0"),
        ({"epochs": 1.5}, "epochs 1.5; expected a whole number above 0"),
        ({"epochs": True}, "epochs True; expected a whole number above 0"),
        ({"minutes": -0.5}, "minutes -0.5; expected a number above 0"),
        ({"minutes": math.nan}, "minutes nan; expected a number above 0"),
        ({"minutes": math.inf}, "minutes inf; expected a number above 0"),
        ({"minutes": "5"}, "minutes '5'; expected a number above 0"),
        ({"slices": -8, "epochs": 1}, "slices -8; expected a whole number above 0"),
        ({"epochs": 1, "epoch_slices": -5}, "epoch_slices -5; expected a whole number above 0"),
        ({"epochs": 1, "epoch_slices": 0}, "epoch_slices 0; expected a whole number above 0"),
        ({"epochs": 1, "loss": "mse"}, "loss 'mse'; expected one of bce-dice, bce-both-dice, focal-tversky"),
        ({"epochs": 1, "schedule": ""}, "schedule ''; expected one of cosine, constant"),
        ({"epochs": 1, "architecture": None}, "architecture None; expected one of attention-unet, unet"),
        ({"epochs": 1, "sizes": ()}, r"sizes \(\); expected one or more multiples of 16"),
        ({"epochs": 1, "sizes": (128, 100)}, r"sizes \(128, 100\); expected one or more multiples of 16"),
        ({"epochs": 1, "sizes": (0,)}, r"sizes \(0,\); expected one or more multiples of 16"),
        ({"epochs": 1, "sizes": (16.0,)}, r"sizes \(16.0,\); expected one or more multiples of 16"),
        ({"epochs": 1, "batch_size": 0}, "batch_size 0; expected a whole number above 0"),
        ({"epochs": 1, "learning_rate": 0.0}, "learning_rate 0.0; expected a number above 0"),
        ({"epochs": 1, "learning_rate": math.nan}, "learning_rate nan; expected a number above 0"),
        ({"epochs": 1, "learning_rate": 10**400}, "learning_rate 1000"),
        ({"epochs": 1, "weight_decay": -1e-4}, "weight_decay -0.0001; expected a number from 0"),
        ({"epochs": 1, "weight_decay": math.nan}, "weight_decay nan; expected a number from 0"),
        ({"epochs": 1, "filters": -1}, "filters -1; expected a whole number from 1 to 1024"),
        ({"epochs": 1, "filters": 10**9}, "filters 1000000000; expected a whole number from 1 to 1024"),
        ({"epochs": 1, "seed": -1}, "seed -1; expected a whole number from 0"),
        ({"epochs": 1, "fold": 5}, "fold 5; expected a fold from 0 to 4"),
        ({"epochs": 1, "fold": 0, "all_patients": True}, "Use one of them"),
        ({"epochs": 1, "all_patients": 1}, "all_patients 1; expected true or false"),
        ({"epochs": 1, "from_weights": ""}, "from_weights ''; expected a name"),
        ({"epochs": 1, "augmentation": None}, "augmentation None; expected an Augmentation"),
    ],
)
def test_settings_that_make_no_sense_raise(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**changes)


def test_each_setting_has_a_rule_and_a_flag():
    names = {one.name for one in fields(TrainingConfig)}
    assert set(config_module._RULES) == names
    parser = argparse.ArgumentParser()
    add_settings(parser)
    assert names == {action.dest for action in parser._actions} - {"help"}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"flip": 1.5}, r"augmentation flip 1.5; expected a number in \[0, 1\]"),
        ({"rotation": -5}, "augmentation rotation -5; expected a number from 0"),
        ({"noise": math.nan}, "augmentation noise nan; expected a number from 0"),
        ({"zoom": (1.2, 0.8)}, r"augmentation zoom \(1.2, 0.8\); expected two numbers above 0, the smaller first"),
        ({"gamma": (0, 1)}, "augmentation gamma"),
        ({"contrast": 1}, "augmentation contrast 1; expected two numbers"),
        ({"contrast": (math.nan, 1)}, "augmentation contrast"),
    ],
)
def test_augmentation_that_makes_no_sense_raises(changes, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**changes)


@pytest.mark.parametrize("words, rate", [([], 1e-3), (["--filters", "64"], 5e-4), (["--learning-rate", "2e-3"], 2e-3)])
def test_learning_rate_of_the_command_line_suits_the_width(words, rate):
    arguments = ["--run-dir", "runs/x", "--epochs", "1", *words]
    assert command_line.read_request(command_line.parse_arguments(arguments)).config.learning_rate == rate


@pytest.mark.parametrize(
    "share, rate",
    [(0, 0.01), (0.01, 0.2), (0.025, 0.5), (0.05, 1), (0.2875, 0.855), (0.525, 0.505), (1, 0.01), (1.5, 0.01)],
)
def test_learning_rate_warms_up_and_follows_a_cosine(share, rate):
    assert learning_rate_at(share, 1.0) == pytest.approx(rate, abs=5e-4)
    assert learning_rate_at(share, 5e-4) == pytest.approx(5e-4 * rate, abs=3e-7)


@pytest.mark.parametrize("name", ["folder/mine", "./mine"])
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_a_path_to_weights_is_no_run_whatever_the_system_separates_with(tmp_path, monkeypatch, name, separator):
    (tmp_path / name / "best").mkdir(parents=True)
    monkeypatch.setattr(command_line, "os", SimpleNamespace(path=SimpleNamespace(sep=separator)))
    monkeypatch.setattr(command_line, "find_weights", lambda given: given)
    assert command_line.find_start(name, tmp_path) == name
    assert command_line.find_start("mine", tmp_path / name / "..") == tmp_path / name / ".." / "mine" / "best"


def test_names_known_without_tensorflow_are_those_there_are():
    assert tuple(LOSSES) == LOSS_NAMES
    assert tuple(ARCHITECTURES) == NETWORKS
    assert SIDE_MULTIPLE == 2**LEVELS


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("filters", [1, 3])
def test_parameters_are_counted_without_building(architecture, filters):
    assert (
        parameters(filters, architecture)
        == ARCHITECTURES[architecture](filters, (32, 32, input_channels(architecture))).count_params()
    )


@pytest.mark.parametrize(
    "filters, sizes, precision, flags, plain",
    [
        (8, (64, 128), None, "amx_bf16", True),
        (8, (64,), None, "amx_bf16", False),
        (8, (64,), None, "avx2", True),
        (8, (64,), "float32", "amx_bf16", True),
        (8, (64,), "mixed_bfloat16", "avx2", False),
        (15, (64, 96), None, "avx2", True),
        (16, (64, 128), None, "amx_bf16", False),
        (16, (64,), "float32", "avx2", False),
    ],
)
def test_narrow_networks_avoid_the_kernels_that_crash(filters, sizes, precision, flags, plain, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    monkeypatch.setattr(Path, "read_text", lambda self: flags)
    assert choose_kernels(TrainingConfig(filters=filters, sizes=sizes, epochs=1), precision) is plain
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == ("0" if plain else None)


@pytest.mark.parametrize("words", [["--sizes=64", "--precision=float32"], ["--sizes=32,64"]])
def test_a_narrow_network_trains_to_its_end(tmp_path, words):
    """In processes of their own: with the wrong kernels they die without an error."""
    command = [sys.executable, "train.py", f"--data={DEMO_FOLDER}", "--filters=8", "--slices=48", "--epoch-slices=16"]
    command += ["--training-patients=1", "--validation-patients=1", f"--run-dir={tmp_path / 'run'}", *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert read_config(tmp_path / "run").filters == 8
    assert json.loads((tmp_path / "run" / "spec.json").read_text())["precision"] == "float32"


def test_augmentation_is_switched_off_by_name():
    assert augmentation_without([]) == Augmentation()
    assert augmentation_without(["all"]) == NO_AUGMENTATION
    without = augmentation_without(["zoom", "noise"])
    assert (without.zoom, without.noise, without.rotation) == ((1, 1), 0, 20.0)
    assert without.switched_off() == ["zoom", "noise"]
    with pytest.raises(ValueError, match="augmentation 'gloom'; expected all, or some of flip, rotation"):
        augmentation_without(["gloom"])


# --- who is drawn


def patients_named(*ids: str) -> list[Patient]:
    return [Patient(id_, Path(id_), {1: Path()}, {1: Path()}) for id_ in ids]


def ids_of(patients: list[Patient]) -> list[str]:
    return [patient.patient_id for patient in patients]


def test_groups_never_share_a_patient_and_test_patients_are_in_neither():
    splits = published_splits()
    everyone = patients_named(*(id_ for ids in splits.values() for id_ in ids))
    learn, judge = split_patients(everyone, 1)
    assert (len(learn), len(judge)) == (77, 11)
    assert not set(ids_of(learn + judge)) & set(splits["test"])
    few, fewer = split_patients(everyone, 1, 5, 2)
    assert (len(few), len(fewer)) == (5, 2)
    assert set(ids_of(few)) < set(ids_of(learn)) and set(ids_of(fewer)) < set(ids_of(judge))
    assert ids_of(few) != ids_of(split_patients(everyone, 2, 5, 2)[0])


def test_own_patients_are_split_by_the_seed():
    own = patients_named(*"ABCDEFGHIJ")
    learn, judge = split_patients(own, 3)
    assert (len(learn), len(judge)) == (8, 2)
    assert sorted(ids_of(learn + judge)) == list("ABCDEFGHIJ")
    learn, judge = split_patients(own, 3, validation=4)
    assert (len(learn), len(judge)) == (6, 4)
    with pytest.raises(DataError, match="7 training patients wanted; this folder has 6"):
        split_patients(own, 3, 7, 4)


# --- what is drawn


def test_batch_depends_on_seed_and_step_alone():
    first, again = (sampler_of(LEARN, TINY) for _ in range(2))
    again.batch(3, 32)  # what was drawn before does not matter
    for one, other in zip(first.batch(7, 32), again.batch(7, 32), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first.batch(7, 32)[0] != first.batch(8, 32)[0]).any()
    assert (first.batch(7, 32)[0] != sampler_of(LEARN, replace(TINY, seed=6)).batch(7, 32)[0]).any()


def test_batch_shapes_and_values():
    slices, masks = sampler_of(LEARN, replace(TINY, batch_size=5)).batch(0, 48)
    assert (slices.shape, masks.shape) == ((5, 48, 48, 3), (5, 48, 48, 1))
    assert slices.dtype == masks.dtype == np.float32
    assert set(np.unique(masks)) <= {0.0, 1.0}


def test_patients_are_drawn_uniformly_and_two_thirds_of_the_slices_show_a_lesion():
    examples = [flat(50, 1, 39), flat(100, 30, 10), flat(200, 3, 3)]
    config = replace(TINY, batch_size=20, augmentation=NO_AUGMENTATION)
    sampler = sampler_of(examples, config)
    assert len(sampler) == 86
    patients: list[int] = []
    lesions: list[bool] = []
    for step in range(150):  # 3,000 draws: standard error 0.009
        slices, masks = sampler.batch(step, 16)
        patients += (slices[:, 0, 0, 1] * 100).round().astype(int).tolist()
        lesions += [bool(mask.any()) for mask in masks]
    for value in (50, 100, 200):
        assert patients.count(value) / 3000 == pytest.approx(1 / 3, abs=0.03)
    assert np.mean(lesions) == pytest.approx(0.65, abs=0.03)


def test_patient_with_only_one_kind_of_slice_is_drawn_too():
    sampler = sampler_of([flat(50, 0, 4), flat(100, 4, 0)], replace(TINY, augmentation=NO_AUGMENTATION))
    drawn = np.concatenate([sampler.batch(step, 16)[0][:, 0, 0, 1] for step in range(40)])
    assert set(drawn.round(1)) == {0.5, 1.0}


def test_slices_without_an_experts_mask_are_not_learnt_from():
    example = flat(100, 2, 2)
    images = example.volume.images.copy()
    images[2] = 200
    unmarked = replace(example.volume, images=images, has_mask=np.array([True, True, False, True]))
    sampler = sampler_of([Example(unmarked, PLAIN)], replace(TINY, augmentation=NO_AUGMENTATION))
    assert len(sampler) == 3
    assert {float(value) for step in range(30) for value in sampler.batch(step, 16)[0][:, 0, 0, 0]} == {1.0}
    with pytest.raises(DataError, match=r"no training slice has an expected mask. Add the \*_mask.tif files"):
        sampler_of([Example(replace(unmarked, has_mask=np.zeros(4, bool)), PLAIN)], TINY)


def with_lesions(patient: int, *areas: int) -> Example:
    """A patient whose slices have lesions of so many pixels."""
    example = flat(patient, 0, len(areas))
    for mask, area in zip(example.volume.expected_mask, areas, strict=True):
        mask.flat[:area] = 1
    return example


@pytest.mark.parametrize(
    "slices, kept",
    [(1, [[1]]), (3, [[1], [0], [2]]), (5, [[1, 2], [0], [2, 3]]), (7, [[0, 1, 2], [0], [1, 2, 3]])],
)
def test_overfit_subset_keeps_so_many_slices_the_largest_lesions_of_each_patient(slices, kept):
    examples = [with_lesions(50, 4, 20, 9), with_lesions(100, 5, 0), with_lesions(200, 0, 3, 200, 7)]
    chosen = overfit_subset(examples, slices)
    assert [example.volume.slice_numbers.tolist() for example in chosen] == kept
    assert [example.volume.patient_id for example in chosen] == ["50", "100", "200"][: len(kept)]
    assert all(len(v.images) == len(v.expected_mask) == len(v.has_mask) == len(v) for v in (e.volume for e in chosen))
    with pytest.raises(DataError, match="8 slices with lesion wanted; these 3 patients have 7"):
        overfit_subset(examples, 8)


def test_examples_carry_the_statistics_of_their_own_volume(tmp_path, write_patient):
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[4:12, 4:12] = 40, 80, 120
    write_patient(tmp_path, "A", {1: picture}, {1: picture[..., 0]})
    (example,) = load_examples(list_patients(tmp_path)[0])
    assert example.volume.patient_id == "A"
    assert example.statistics.high.tolist() == [40, 80, 120]


# --- a run


@pytest.fixture(autouse=True, scope="module")
def short_and_exact():
    """float32, in which the same steps give the same bits, and fewer batches for batch normalisation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "mixed_precision_policy", lambda: "float32")
        patch.setattr(validation, "NORM_SLICES", 48)
        yield


@pytest.fixture
def eagerly():
    """Run step by step: for a handful of steps compiling would take longest, and the runs above are compiled."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """A run of four epochs in one go, and what a power cut after its second epoch would have left."""
    whole, cut = tmp_path_factory.mktemp("runs") / "whole", tmp_path_factory.mktemp("runs") / "cut"

    def copy_after_epoch_two(line: str) -> None:
        if line.startswith("epoch   2"):
            shutil.copytree(whole, cut)

    assert train(TINY, LEARN, JUDGE, whole, say=copy_after_epoch_two) == whole / "best"
    return whole, cut


@pytest.fixture(scope="module")
def whole_run(runs) -> Path:
    return runs[0]


def test_run_folder_holds_everything(whole_run):
    assert {path.name for path in whole_run.iterdir()} == {
        "spec.json",
        "metrics.csv",
        "log.txt",
        "status.json",
        "checkpoint.npz",
        "curve.png",
        "best",
        "preview",
        "events",
    }
    lines = (whole_run / "log.txt").read_text().splitlines()
    assert len(lines) == 5 and "  finished: Best mean volume Dice 0." in lines[-1]


def test_run_writes_a_row_an_epoch(whole_run):
    rows = rows_of(whole_run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["step"] for row in rows] == ["4", "8", "12", "16"]  # 8 slices, 2 at a time
    assert [row["size"] for row in rows] == ["32"] * 4
    assert all(math.isfinite(float(row["loss"])) and 0 <= float(row["validation_dice"]) <= 1 for row in rows)
    smoothed = float(rows[0]["validation_dice"])
    for row in rows:
        smoothed = 0.8 * smoothed + 0.2 * float(row["validation_dice"])
        assert float(row["moving_average"]) == pytest.approx(smoothed, abs=2e-5)


def test_run_says_what_it_was(whole_run):
    spec = json.loads((whole_run / "spec.json").read_text())
    assert (len(spec["training_patients"]), len(spec["validation_patients"]), spec["training_slices"]) == (3, 2, 12)
    assert set(spec["versions"]) == {"tensorflow", "keras", "numpy"}
    assert read_config(whole_run) == TINY


def test_status_is_finished(whole_run):
    status = json.loads((whole_run / "status.json").read_text())
    assert (status["state"], status["progress"], status["epoch"], status["step"]) == ("finished", 1.0, 4, 16)
    best = max(float(row["validation_dice"]) for row in rows_of(whole_run))
    assert status["best_validation_dice"] == pytest.approx(best, abs=1e-5)


def test_slices_are_predicted_anew_after_each_epoch(whole_run):
    previews = RunFolder(whole_run).previews
    assert previews.epochs() == [1, 2, 3, 4]
    slices = previews.read_slices()
    assert slices.images.shape[1:] == (32, 32, 3)
    assert set(slices.patients) == {example.volume.patient_id for example in JUDGE}
    first, last = (previews.read_epoch(epoch, side=32) for epoch in (1, 4))
    assert first.probability.shape == slices.expected_mask.shape
    assert (first.probability != last.probability).any()
    assert [level.shape[-1] for level in last.attention] == [16, 8, 4, 2]


def test_best_weights_load_and_are_those_of_the_best_epoch(whole_run):
    found = find_weights(whole_run / "best")
    assert (found.filters, found.threshold) == (2, 0.5)
    assign_arrays(attention_unet(2, (32, 32, 3)).variables, load_arrays(found.path)[0])
    rows = rows_of(whole_run)
    best = max(rows, key=lambda row: float(row["validation_dice"]))
    config = json.loads((whole_run / "best" / "config.json").read_text())
    assert (str(config["epoch"]), str(config["size"])) == (best["epoch"], best["size"])
    assert config["validation_dice"] == pytest.approx(float(best["validation_dice"]), abs=1e-5)


@pytest.fixture(scope="module")
def resumed_run(runs) -> Path:
    """The run that was cut off after its second epoch, resumed."""
    _, folder = runs
    assert load_arrays(folder / "checkpoint.npz")[1]["epoch"] == 2
    with (folder / "metrics.csv").open("a") as file:
        file.write("3,12,32,0.1,9.9,0.9,0.9,0.9,1.0,1.0\r\n")  # an epoch whose checkpoint was never saved
    said = []
    train(read_config(folder), LEARN, JUDGE, folder, resume=True, say=said.append)
    assert said[0] == "resumed after epoch 2" and len(said) == 3
    return folder


def test_resumed_run_writes_the_same_numbers(whole_run, resumed_run):
    whole, resumed = rows_of(whole_run), rows_of(resumed_run)
    assert [row["epoch"] for row in resumed] == ["1", "2", "3", "4"]
    for column in ("step", "size", "learning_rate"):
        assert [row[column] for row in resumed] == [row[column] for row in whole]
    for column in ("loss", "validation_dice", "validation_dice_median", "moving_average"):
        expected = [float(row[column]) for row in whole]
        assert [float(row[column]) for row in resumed] == pytest.approx(expected, abs=1e-4)


def test_resumed_run_ends_with_the_same_weights(whole_run, resumed_run):
    (whole, meta), (resumed, resumed_meta) = (load_arrays(run / "checkpoint.npz") for run in (whole_run, resumed_run))
    assert list(resumed) == list(whole)
    assert {key.split("/")[0] for key in whole} == {"network", "average", "optimizer"}
    assert (resumed_meta["step"], resumed_meta["epoch"]) == (meta["step"], meta["epoch"]) == (16, 4)
    for key in whole:
        np.testing.assert_allclose(resumed[key], whole[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_finished_run_resumes_to_nothing_more(resumed_run):
    before = rows_of(resumed_run)
    train(TINY, LEARN, JUDGE, resumed_run, resume=True, say=quiet)
    assert rows_of(resumed_run) == before


def test_folder_with_a_run_is_not_overwritten(whole_run):
    before = (whole_run / "metrics.csv").read_bytes(), (whole_run / "spec.json").read_bytes()
    with pytest.raises(TrainingError, match="whole already holds a run. Resume it, or choose another folder."):
        train(TINY, LEARN, JUDGE, whole_run, say=quiet)
    assert ((whole_run / "metrics.csv").read_bytes(), (whole_run / "spec.json").read_bytes()) == before


def test_resuming_nothing_raises(tmp_path):
    with pytest.raises(TrainingError, match=r"checkpoint\.npz does not exist, so there is nothing to resume"):
        train(TINY, LEARN, JUDGE, tmp_path, resume=True, say=quiet)
    with pytest.raises(TrainingError, match="holds no run to resume"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "learn, judge, message",
    [
        ([], JUDGE, "0 training and 2 validation patients; a run needs both"),
        (LEARN, [], "3 training and 0 validation patients; a run needs both"),
        (LEARN, [flat(100, 0, 3)], "no validation slice shows a lesion"),
    ],
)
def test_run_without_patients_raises(tmp_path, learn, judge, message):
    with pytest.raises(TrainingError, match=message):
        train(TINY, learn, judge, tmp_path, say=quiet)


@pytest.fixture
def policy():
    """Another precision than a run chooses, for the time of a test."""
    with built_in("float64"):
        yield "float64"


def test_loss_that_is_not_finite_ends_the_run_and_precision_is_put_back(tmp_path, monkeypatch, policy):
    monkeypatch.setattr(Learner, "step", lambda self, slices, masks, learning_rate: math.nan)
    with pytest.raises(TrainingError, match="the loss became nan at step 0. Lower the learning rate."):
        train(TINY, LEARN, JUDGE, tmp_path / "run", say=quiet)
    assert keras.config.dtype_policy().name == policy
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


def test_masks_that_stay_empty_end_the_run_and_precision_is_put_back(tmp_path, eagerly, monkeypatch, policy):
    monkeypatch.setattr(training._Run, "_mask", lambda self, example, size: np.zeros((4, 32, 32), np.uint8))
    monkeypatch.setattr(Learner, "step", lambda self, slices, masks, learning_rate: 0.5)
    monkeypatch.setattr(Learner, "reestimate_norms", lambda self, batches: None)
    monkeypatch.setattr(training, "EMPTY_STEPS", 10)
    config = replace(TINY, sizes=(16, 32, 48), epochs=12, epoch_slices=2)
    with pytest.raises(TrainingError, match="all predicted masks are empty after 10 epochs"):
        train(config, LEARN, JUDGE, tmp_path / "run", say=quiet)
    assert keras.config.dtype_policy().name == policy
    assert [row["size"] for row in rows_of(tmp_path / "run")] == ["16"] * 4 + ["32"] * 4 + ["48"] * 2


# --- how a run ends


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when a test lets it, instead of the one that `training` looks at."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.setattr(Learner, "reestimate_norms", lambda self, batches: None)
    return now


def test_minutes_end_a_long_epoch_and_not_only_the_next(tmp_path, eagerly, monkeypatch, clock):
    def step(self, slices, masks, learning_rate):
        clock.seconds += 10 if clock.seconds else 100  # the first one compiles, which is no training
        return 0.5

    monkeypatch.setattr(Learner, "step", step)
    config = replace(TINY, epochs=None, minutes=1, epoch_slices=200)
    train(config, LEARN, JUDGE, tmp_path / "run", say=quiet)
    (row,) = rows_of(tmp_path / "run")
    assert (row["epoch"], row["step"], row["seconds"]) == ("1", "7", "60.0")
    assert (status_of(tmp_path / "run")["state"], status_of(tmp_path / "run")["progress"]) == ("finished", 1.0)
    train(config, LEARN, JUDGE, tmp_path / "run", resume=True, say=quiet)  # over is over
    assert rows_of(tmp_path / "run") == [row]


def test_slices_end_a_run_within_an_epoch_and_set_its_learning_rate_and_sizes(tmp_path, eagerly, monkeypatch):
    rates = []
    monkeypatch.setattr(Learner, "step", lambda self, slices, masks, rate: rates.append(rate) or 0.5)
    config = replace(TINY, sizes=(16, 32), epochs=None, slices=20, epoch_slices=8)  # batches of 2: ten steps
    train(config, LEARN, JUDGE, tmp_path / "run", say=quiet)
    assert [(row["step"], row["size"]) for row in rows_of(tmp_path / "run")] == [("4", "16"), ("8", "16"), ("10", "32")]
    assert rates == [config.learning_rate_at(step / 10) for step in range(10)]
    assert status_of(tmp_path / "run")["state"] == "finished"


def test_shortest_run_makes_a_step(tmp_path, eagerly, monkeypatch, clock):
    def step(self, slices, masks, learning_rate):
        clock.seconds += 10
        return 0.5

    monkeypatch.setattr(Learner, "step", step)
    train(replace(TINY, epochs=None, minutes=1e-9, epoch_slices=2), LEARN, JUDGE, tmp_path / "run", say=quiet)
    assert [row["step"] for row in rows_of(tmp_path / "run")] == ["1", "2"]  # the first only starts the clock


def status_of(folder: Path) -> dict:
    return json.loads((folder / "status.json").read_text())


def test_patient_in_both_lists_is_refused_unless_it_is_the_overfit_check(tmp_path, monkeypatch):
    with pytest.raises(TrainingError, match="1 patient is in training and in validation: A"):
        train(TINY, LEARN, [*JUDGE, LEARN[0]], tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(Learner, "step", lambda self, slices, masks, learning_rate: math.nan)
    with pytest.raises(TrainingError, match="the loss became nan"):  # it has begun
        train(TINY, LEARN, LEARN, tmp_path / "run", say=quiet, allow_overlap=True)


def test_failure_is_in_the_status_and_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "step", lambda self, slices, masks, learning_rate: math.nan)
    with pytest.raises(TrainingError):
        train(TINY, LEARN, JUDGE, tmp_path / "run", say=quiet)
    assert status_of(tmp_path / "run")["state"] == "failed"
    assert "Lower the learning rate" in status_of(tmp_path / "run")["reason"]
    assert "failed: the loss became nan" in (tmp_path / "run" / "log.txt").read_text()


def test_run_heeds_the_stop_flag_before_the_next_batch(tmp_path, monkeypatch):
    steps = []

    def step(self, slices, masks, learning_rate):
        steps.append(learning_rate)
        if len(steps) == 3:
            (tmp_path / "run" / "stop").touch()
        return 0.5

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(TrainingStopped):
        train(replace(TINY, epoch_slices=40), LEARN, JUDGE, tmp_path / "run", say=quiet)
    assert len(steps) == 3
    assert status_of(tmp_path / "run")["state"] == "stopped"


def test_full_disk_is_said_and_the_earlier_checkpoint_stays(tmp_path, eagerly, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(Learner, "step", lambda self, slices, masks, learning_rate: 0.5)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(line: str) -> None:
        if line.startswith("epoch   2"):  # its checkpoint is 0.5 MB, and so will be the next one
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))

    try:
        with pytest.raises(OSError, match="File too large"):
            train(TINY, LEARN, JUDGE, tmp_path / "run", say=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    status = status_of(tmp_path / "run")
    assert status["state"] == "disk full"
    assert "intact" in status["reason"]
    assert load_arrays(tmp_path / "run" / "checkpoint.npz")[1]["epoch"] == 2
    assert find_weights(tmp_path / "run" / "best").filters == 2
    assert not list((tmp_path / "run").rglob("*.part"))


def test_events_hold_the_curve_for_tensorboard(whole_run):
    (file,) = (whole_run / "events").iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
    for row in rows_of(whole_run):
        for column in ("loss", "validation_dice", "moving_average"):
            assert found[int(row["epoch"]), column] == pytest.approx(float(row[column]), abs=1e-5)


def test_run_starts_from_given_weights(tmp_path, eagerly, monkeypatch, whole_run):
    monkeypatch.setattr(Learner, "step", lambda self, slices, masks, learning_rate: 0.5)
    start, _ = load_arrays(find_weights(whole_run / "best").path)
    train(replace(TINY, epochs=1), LEARN, JUDGE, tmp_path / "run", say=quiet, start=start)
    arrays, _ = load_arrays(tmp_path / "run" / "checkpoint.npz")
    np.testing.assert_array_equal(arrays["network/logits/kernel"], start["logits/kernel"].astype(np.float32))


@pytest.mark.parametrize(
    "flags, policy_name",
    [("flags: avx2", "float32"), ("flags: avx512_bf16", "mixed_bfloat16"), ("flags: amx_bf16", "mixed_bfloat16")],
)
def test_precision_follows_the_processor(monkeypatch, flags, policy_name):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(Path, "read_text", lambda self: flags)
    assert mixed_precision_policy() == policy_name


def test_precision_on_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": "NVIDIA H100"})
    assert gpus() == ["NVIDIA H100"]
    assert mixed_precision_policy() == "mixed_float16"


def test_estimate_times_steps_and_counts_epochs(eagerly, policy):
    patients, _ = list_patients(DEMO_FOLDER)
    found = estimate(replace(TINY, sizes=(16, 32), minutes=1e-4), patients[:2], patients[2:3])
    assert set(found) == {"epoch_seconds", "epochs", "minutes", "memory_mb"}
    assert len(found["epoch_seconds"]) == 2 and min(found["epoch_seconds"]) > 0
    assert found["epochs"] == 1  # the minutes end it before the four epochs do
    assert found["memory_mb"] > 1100 and found["minutes"] > 0
    assert keras.config.dtype_policy().name == policy


def test_estimate_of_an_epoch_longer_than_the_minutes_is_the_minutes(eagerly, policy):
    patients, _ = list_patients(DEMO_FOLDER)
    config = replace(TINY, sizes=(16,), epochs=None, minutes=2, epoch_slices=10_000_000)
    found = estimate(config, patients[:1], patients[1:2])
    assert found["epochs"] == 1 and found["epoch_seconds"][0] > 600
    assert 2 <= found["minutes"] < 3  # and what comes before the first step


def test_estimate_of_a_run_whose_slices_end_within_an_epoch(eagerly, policy):
    patients, _ = list_patients(DEMO_FOLDER)
    config = replace(TINY, sizes=(16,), epochs=None, slices=20_000_000, epoch_slices=8_000_000)
    found = estimate(config, patients[:1], patients[1:2])
    assert found["epochs"] == 3
    assert found["minutes"] == pytest.approx(2.5 * found["epoch_seconds"][0] / 60, rel=0.01)


def test_estimate_measures_on_a_patient_with_masks(eagerly, policy):
    patients, _ = list_patients(DEMO_FOLDER)
    unmarked = replace(patients[0], masks={})
    found = estimate(replace(TINY, sizes=(16,)), [unmarked, patients[1]], patients[2:3])
    assert found["epochs"] == 4
    with pytest.raises(DataError, match="no training slice has an expected mask"):
        estimate(replace(TINY, sizes=(16,)), [unmarked], patients[2:3])


# --- the command line


def test_command_line_never_mixes_the_splits(tmp_path, write_tiny_patient, monkeypatch, capsys):
    splits = published_splits()
    present = [*splits["train"][:4], *splits["validation"][:3], *splits["test"][:3], "TCGA_XX_0000_20000101"]
    for patient_id in present:
        write_tiny_patient(tmp_path / "data", patient_id, (1,))
    given = {}

    def fake_train(config, learn, judge, run_folder, resume, **options):
        given.update(learn=[e.volume.patient_id for e in learn], judge=[e.volume.patient_id for e in judge])
        return run_folder / "best"

    monkeypatch.setattr(training, "train", fake_train)
    monkeypatch.setattr(
        sys, "argv", ["train.py", "--data", str(tmp_path / "data"), "--epochs", "1", "--run-dir", str(tmp_path / "run")]
    )
    assert command_line.main() == 0
    assert sorted(given["learn"]) == sorted(splits["train"][:4])
    assert sorted(given["judge"]) == sorted(splits["validation"][:3])
    assert {split_of(patient_id) for patient_id in given["learn"]} == {"training"}
    assert "4 training and 3 validation patients" in capsys.readouterr().out


def test_help_answers_without_tensorflow():
    program = (
        "import runpy, sys\n"
        "sys.argv = ['train.py', '--help']\n"
        "try:\n"
        "    runpy.run_path('train.py', run_name='__main__')\n"
        "except SystemExit as done:\n"
        "    print('exit', done.code, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert "--run-dir" in done.stdout and "--resume" in done.stdout
    assert done.stdout.splitlines()[-1] == "exit 0 False"


def test_wrong_data_folder_is_one_plain_sentence(tmp_path):
    command = [sys.executable, "train.py", "--data", tmp_path / "typo", "--epochs", "1", "--run-dir", tmp_path / "run"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last == (
        f"error: the folder given, {tmp_path / 'typo'}, does not exist. "
        "Check the spelling, or unset it to use the demo phantoms."
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "none of slices, epochs and minutes is set"),
        (["--epochs", "1", "--sizes", "100"], "expected one or more multiples of 16"),
        (["--epochs", "1", "--loss", "mse"], "expected one of bce-dice, bce-both-dice, focal-tversky"),
        (["--resume"], "nothing to resume. Start without --resume."),
    ],
)
def test_wrong_settings_are_one_plain_sentence(tmp_path, write_tiny_patient, monkeypatch, capsys, arguments, message):
    for split in ("train", "validation"):
        write_tiny_patient(tmp_path, published_splits()[split][0], (1,))
    monkeypatch.setattr(
        sys, "argv", ["train.py", "--data", str(tmp_path), "--run-dir", str(tmp_path / "run"), *arguments]
    )
    assert command_line.main() == 1
    assert message in capsys.readouterr().err


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("more", [[], ["--background"]])
def test_refused_folders_stay_as_they_were(tmp_path, capsys, more):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    arguments = [f"--data={DEMO_FOLDER}", "--epochs=1", f"--run-dir={folder.path}", *more]
    folder.write_status({"state": "finished"})
    folder.write_process({"pid": 1})
    for name in ("stop", "metrics.csv", "spec.json"):
        (folder.path / name).write_text("{}")
    before = content_of(folder.path)
    assert command_line.main(arguments) == 1
    assert "run already holds a run. Resume it, or choose another folder." in capsys.readouterr().err
    assert command_line.main([*arguments, "--resume"]) == 1
    assert (
        "checkpoint.npz does not exist, so there is nothing to resume. Start without --resume."
        in capsys.readouterr().err
    )
    assert content_of(folder.path) == before


def test_a_run_that_another_process_computes_is_left_alone(tmp_path, capsys):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    other = subprocess.Popen(["sleep", "60"])
    folder.write_process(local_handle(other.pid))
    folder.write_status({"state": "training"})  # in its first epoch: neither metrics nor checkpoint
    before = content_of(folder.path)
    assert command_line.main([f"--data={DEMO_FOLDER}", "--epochs=1", f"--run-dir={folder.path}"]) == 1
    other.kill()
    other.wait()
    assert "run is training in another process. Stop it first, or choose another folder." in capsys.readouterr().err
    assert content_of(folder.path) == before


def test_request_to_stop_is_forgotten_only_when_a_run_starts(tmp_path, monkeypatch, capsys):
    stop = tmp_path / "run" / "stop"
    stop.parent.mkdir()
    stop.touch()
    monkeypatch.setattr(training, "train", lambda config, learn, judge, run_folder, **options: run_folder / "best")
    monkeypatch.setattr(estimate_module, "print_estimate", lambda *_: None)
    arguments = [f"--data={DEMO_FOLDER}", "--epochs=1", f"--run-dir={stop.parent}"]
    assert command_line.main([*arguments, "--sizes=7"]) == 1
    assert command_line.main([*arguments, "--estimate"]) == 0
    assert stop.exists()
    assert command_line.main(arguments) == 0
    assert not stop.exists()


def test_a_run_that_is_told_to_end_stops_even_if_a_library_swallows_the_error(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    command_line.end_when_told(tmp_path)
    try:
        with pytest.raises(TrainingStopped, match="told to end"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert RunFolder(tmp_path).stop_requested()


def test_folder_without_training_patients_says_so(tmp_path, write_tiny_patient, monkeypatch, capsys):
    write_tiny_patient(tmp_path, published_splits()["test"][0], (1,))
    monkeypatch.setattr(sys, "argv", ["train.py", "--data", str(tmp_path), "--epochs", "1", "--run-dir", "unused"])
    assert command_line.main() == 1
    assert "this folder holds no patient of the published training split" in capsys.readouterr().err
