"""The five folds: every training and validation patient once, no test patient, and no leak from one to another."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import train as command_line
from unet.data.folds import FOLDS, all_fold_patients, check_fold, fold_patients, make_folds, published_folds
from unet.data.patients import Patient
from unet.data.slice_files import DataError
from unet.data.splits import published_splits
from unet.data.volume import Volume
from unet.preprocessing import intensity_statistics
from unet.training import loop
from unet.training.config import TrainingConfig
from unet.training.loop import TrainingError, train
from unet.training.sampling import Example, patient_ids

EIGHTY_EIGHT = sorted(published_splits()["train"] + published_splits()["validation"])
EVERYONE = [
    Patient(patient_id, Path(patient_id), {1: Path()}, {1: Path()})
    for patient_id in (*EIGHTY_EIGHT, *published_splits()["test"], "TCGA_XX_0000_20000101", "PHANTOM_1")
]


def test_every_patient_is_in_one_fold_and_no_test_patient_in_any():
    folds = published_folds()
    assert [len(fold) for fold in folds] == [18, 18, 17, 18, 17]
    assert sorted(patient_id for fold in folds for patient_id in fold) == EIGHTY_EIGHT
    assert not set(published_splits()["test"]) & {patient_id for fold in folds for patient_id in fold}


def test_a_person_with_several_examinations_is_in_one_fold():
    persons = Counter(person for fold in published_folds() for person in {id_[:12] for id_ in fold})
    assert set(persons.values()) == {1}


def test_folds_are_alike_in_institution():
    for code in ("CS", "DU", "FG", "HT"):
        counts = [sum(patient_id.split("_")[1] == code for patient_id in fold) for fold in published_folds()]
        assert max(counts) - min(counts) <= 2, (code, counts)


def test_made_folds_are_alike_in_lesion_size_and_the_seed_decides():
    rng = np.random.default_rng(0)
    sizes = {patient_id: int(rng.lognormal(9, 1)) for patient_id in EIGHTY_EIGHT}
    folds = make_folds(sizes, 1)
    medians = [np.median([sizes[patient_id] for patient_id in fold]) for fold in folds]
    everyone = np.array(list(sizes.values()))
    assert all(np.percentile(everyone, 35) < median < np.percentile(everyone, 65) for median in medians)
    assert folds == make_folds(dict(reversed(sizes.items())), 1) != make_folds(sizes, 2)
    assert sorted(patient_id for fold in folds for patient_id in fold) == EIGHTY_EIGHT


@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_fold_validates_on_its_own_patients_and_trains_on_all_others(fold):
    learn, judge = fold_patients(EVERYONE, fold)
    assert [patient.patient_id for patient in judge] == sorted(published_folds()[fold])
    assert sorted(patient.patient_id for patient in learn + judge) == EIGHTY_EIGHT


def test_folder_without_the_data_set_has_no_folds():
    with pytest.raises(DataError, match="this folder has 0 for training and 0 for validation. Check --data."):
        fold_patients(EVERYONE[-2:], 0)
    with pytest.raises(DataError, match="fold 5: expected a number from 0 to 4"):
        fold_patients(EVERYONE, 5)


OWN, OTHER, TEST = published_folds()[2][0], published_folds()[0][0], published_splits()["test"][0]


@pytest.mark.parametrize(
    "learn, judge, message",
    [
        ([OTHER, OWN], [OWN], f"1 patient does not belong to fold 2: {OWN} is in fold 2 and would be trained on"),
        ([OTHER], [OWN, OTHER], f"1 patient does not belong to fold 2: {OTHER} is in fold 0 and would be validated on"),
        ([OTHER, TEST], [OWN], f"1 patient does not belong to fold 2: {TEST} is in no fold and would be trained on"),
        ([OTHER], [TEST], f"1 patient does not belong to fold 2: {TEST} is in no fold and would be validated on"),
    ],
)
def test_leaks_are_refused(tmp_path, learn, judge, message):
    with pytest.raises(DataError, match=message):
        check_fold(2, learn, judge)
    config = TrainingConfig(filters=1, sizes=(16,), slices=8, fold=2)
    training = [example(patient_id) for patient_id in learn]
    validation = [example(patient_id) for patient_id in [*judge, *{OWN} - set(judge)]]
    with pytest.raises((DataError, TrainingError), match="does not belong to fold 2|in training and in validation"):
        train(config, training, validation, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def example(patient_id: str) -> Example:
    images, mask = np.full((1, 16, 16, 3), 90, np.uint8), np.zeros((1, 16, 16), np.uint8)
    mask[0, 4:8, 4:8] = 1
    images[mask == 1] = 200
    return Example(Volume(patient_id, images, mask, np.ones(1, bool), np.ones(1, int)), intensity_statistics(images))


def test_fold_that_fits_trains_and_says_which_it_is_and_is_not_resumed_with_other_patients(tmp_path):
    config = TrainingConfig(filters=1, sizes=(16,), slices=16, epoch_slices=8, fold=2)
    best = train(config, [example(OTHER)], [example(OWN)], tmp_path / "run", say=lambda line: None)
    spec = json.loads((tmp_path / "run" / "spec.json").read_text())
    assert (spec["config"]["fold"], spec["training_patients"], spec["validation_patients"]) == (2, [OTHER], [OWN])
    assert json.loads((best / "config.json").read_text())["fold"] == 2
    stranger = published_folds()[1][0]
    message = f"cannot be resumed with other training patients: {stranger} and 0 more differ"
    with pytest.raises(TrainingError, match=message):
        train(config, [example(OTHER), example(stranger)], [example(OWN)], tmp_path / "run", resume=True)


def test_command_line_trains_on_the_other_four_folds(tmp_path, write_tiny_patient, monkeypatch, capsys):
    for patient_id in (*(fold[0] for fold in published_folds()), published_folds()[3][1], TEST):
        write_tiny_patient(tmp_path / "data", patient_id, (1,))
    given = {}

    def fake_train(config, learn, judge, run_folder, resume, **options):
        given.update(config=config, learn=patient_ids(learn), judge=patient_ids(judge))
        return run_folder / "best"

    monkeypatch.setattr(loop, "train", fake_train)
    words = ["--data", str(tmp_path / "data"), "--slices", "8", "--fold", "3", "--run-dir", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    assert command_line.main() == 0
    assert given["judge"] == sorted(published_folds()[3][:2])
    assert given["learn"] == sorted(published_folds()[fold][0] for fold in (0, 1, 2, 4))
    assert (given["config"].fold, given["config"].slices) == (3, 8)
    assert command_line.main([*words, "--training-patients", "2"]) == 1
    assert "--fold and --training-patients both choose patients. Leave one out." in capsys.readouterr().err


def test_a_release_trains_on_all_five_folds_and_no_test_patient():
    training, validation = all_fold_patients(EVERYONE)
    assert len(training) == 88 and len(validation) == 11
    assert not {p.patient_id for p in training} & set(published_splits()["test"])


def test_a_fold_may_not_choose_among_its_epochs():
    assert TrainingConfig(epochs=1, fold=0).keeps_last
    assert TrainingConfig(epochs=1, all_patients=True).keeps_last
    assert not TrainingConfig(epochs=1).keeps_last
