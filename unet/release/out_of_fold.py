"""One report in which every training and validation patient is scored by the network that has not seen it.

The network of a fold is the one at the end of its run. The best epoch would have been chosen by the very patients
that are scored here, and a score chosen as the highest of many is too high.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from unet.data.clinical import clinical_record, read_clinical_table
from unet.data.folds import FOLDS, check_fold, published_folds
from unet.data.patients import Patient
from unet.data.slice_files import DataError
from unet.evaluation import protocol
from unet.inference.segmenter import Segmenter
from unet.jobs.cross_validation import fold_folder
from unet.training.endings import FINISHED, TrainingError
from unet.training.run_folder import RunFolder, read_config
from unet.weights.network import Weights, find_weights


@dataclass(frozen=True)
class FoldNetwork:
    """The network of a fold, and where it was trained."""

    fold: int
    weights: Weights
    folder: RunFolder

    def about(self) -> dict:
        """Return what a report says of it."""
        return {"fold": self.fold, "sha256": self.weights.sha256, "patients": len(published_folds()[self.fold])}


def fold_networks(run_dir: Path) -> list[FoldNetwork]:
    """Return the networks of the five folds, from the folder of `python -m unet cross-validate`.

    Raises:
        TrainingError: a fold is missing or not finished, or the folds were trained with different settings.
        DataError: a fold was trained on patients that it must not have seen.
    """
    networks, recipes = [], set()
    for fold in range(FOLDS):
        folder = RunFolder(fold_folder(run_dir, fold))
        config = read_config(folder.path)
        if (state := folder.read_status().get("state")) != FINISHED:
            raise TrainingError(f"{folder.path} is {state}, not finished; run python -m unet cross-validate again")
        spec = folder.read_spec()
        if config.fold != fold:
            raise TrainingError(f"{folder.path} validates on fold {config.fold}, its name says {fold}")
        check_fold(fold, spec["training_patients"], spec["validation_patients"])
        recipes.add(replace(config, fold=None))
        weights = find_weights(folder.best.resolve())
        _check_last(folder, weights)
        networks.append(FoldNetwork(fold, weights, folder))
    if len(recipes) > 1:
        raise TrainingError(f"the folds in {run_dir} were trained with {len(recipes)} different settings; expected one")
    return networks


def _check_last(folder: RunFolder, weights: Weights) -> None:
    """Refuse the weights of an epoch that the fold's own patients have chosen.

    Raises:
        TrainingError: they are not those of the last epoch.
    """
    epoch, last = json.loads(weights.path.with_name("config.json").read_text())["epoch"], len(folder.read_metrics())
    if epoch != last:
        raise TrainingError(
            f"{folder.path} holds the weights of epoch {epoch} of {last}, which the patients to be scored have chosen; "
            "train the fold anew"
        )


def with_rule(weights: Weights, rule: Weights) -> Weights:
    """Return weights with threshold and post-processing of other ones."""
    return replace(weights, threshold=rule.threshold, post_processing=rule.post_processing)


def combined_weights(networks: list[FoldNetwork], name: str, rule: Weights) -> Weights:
    """Return how the five together stand in a report: under a name, with a digest of their digests."""
    digest = sha256("".join(network.weights.sha256 for network in networks).encode()).hexdigest()
    return replace(with_rule(networks[0].weights, rule), name=name, sha256=digest)


def patients_of_folds(patients: list[Patient]) -> list[list[Patient]]:
    """Return the patients of each fold.

    Raises:
        DataError: one is not among those given.
    """
    by_id = {patient.patient_id: patient for patient in patients}
    everyone = [patient_id for fold in published_folds() for patient_id in fold]
    if missing := [patient_id for patient_id in everyone if patient_id not in by_id]:
        raise DataError(
            f"{len(missing)} of {len(everyone)} patients are not in the folder, such as {missing[0]}. Check --data."
        )
    return [[by_id[patient_id] for patient_id in fold] for fold in published_folds()]


def measure(
    segmenter: Segmenter, network: FoldNetwork, patients: list[Patient], keep: bool
) -> Iterator[protocol.Measurement | None]:
    """Yield None after each slice, and a patient's measurement at its end.

    Args:
        segmenter: of the fold's network.
        network: says into which run folder to write.
        patients: those of the fold.
        keep: write each patient's probabilities into the fold's run folder, see `probability_file`.
    """
    records, _ = read_clinical_table(patients[0].folder.parent / "data.csv")
    for passes in protocol.run_network(segmenter, patients):
        if passes is None:
            yield None
            continue
        patient_id = passes.volume.patient_id
        if keep:
            _keep(probability_file(network, patient_id), passes.direct)
        yield protocol.measure(passes, segmenter.weights, clinical_record(records, patient_id))


def probability_file(network: FoldNetwork, patient_id: str) -> Path:
    """Return where `measure` keeps a patient: `probability`, (slices, height, width) uint8, 255 stands for 1."""
    return network.folder.path / "out-of-fold" / f"{patient_id}.npz"


def _keep(file: Path, probability: np.ndarray) -> None:
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, probability=np.rint(probability.astype(np.float32) * 255).astype(np.uint8))
