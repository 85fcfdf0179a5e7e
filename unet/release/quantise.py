"""Int8: the trained network in 8-bit integers, two to three times faster, if it stays as good.

NNCF measures the range of every activation on slices of training patients, rounds weights and activations to int8,
and the mean volume Dice of the validation patients is compared before and after. Where the loss is above what is
allowed NNCF takes layers back to float, worst first; what still loses too much is not written.

    python -m unet quantise --data DIR --weights NAME       (needs the extra `benchmark`)
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unet.data.patients import Patient, load_volume
from unet.data.volume import Volume
from unet.files import write_text
from unet.inference.conversion import openvino_model
from unet.inference.engines import load_openvino
from unet.letterbox import Letterbox
from unet.metrics import volume_dice
from unet.preprocessing import normalise
from unet.weights.arrays import WeightsError, file_sha256
from unet.weights.network import INT8_NAME, Weights

if TYPE_CHECKING:
    from openvino import CompiledModel

MAX_DROP = 0.005  # of the validation patients' mean volume Dice at 0.5
SLICES_PER_PATIENT = 4  # half of them with lesion
SEED = 0


class QuantisationError(WeightsError):
    """The network could not be made smaller without losing more than is allowed."""


def quantise(
    weights: Weights, calibration: list[Patient], validation: list[Patient], max_drop: float = MAX_DROP
) -> dict:
    """Write `int8.xml` and `int8.bin` beside the weights and enter them in `config.json`.

    Args:
        weights: to start from.
        calibration: training patients, for the ranges of activations.
        validation: patients to compare by; in no case those of the test split.
        max_drop: of mean volume Dice.

    Returns:
        What `config.json` then holds: the mean Dice before and after, and the files' SHA-256.

    Raises:
        QuantisationError: the drop is larger; nothing was written.
        ImportError: NNCF is not installed.
    """
    openvino = load_openvino()  # before NNCF, which reports too
    import nncf  # pyright: ignore[reportMissingImports]

    model = openvino.Core().read_model(openvino_model(weights))
    volumes = [load_volume(patient) for patient in validation]
    slices = [(number, index) for number, volume in enumerate(volumes) for index in range(len(volume))]
    normalised = [normalise(volume.images) for volume in volumes]

    def model_input(item: tuple[int, int]) -> np.ndarray:
        number, index = item
        return _square(normalised[number][index], weights.size)

    def score(compiled: "CompiledModel") -> float:
        return _mean_dice(compiled, map(model_input, slices), volumes, weights.size)

    before = score(openvino.compile_model(model, "CPU"))
    ranges = nncf.Dataset(list(_calibration_slices(calibration, weights.size)))
    settings = {"preset": nncf.QuantizationPreset.MIXED, "subset_size": SLICES_PER_PATIENT * len(calibration)}
    smaller = nncf.quantize(model, ranges, **settings)
    after = score(openvino.compile_model(smaller, "CPU"))
    if before - after > max_drop:
        smaller = nncf.quantize_with_accuracy_control(
            model,
            ranges,
            nncf.Dataset(slices, model_input),
            lambda compiled, _: (score(compiled), None),  # a volume's Dice needs all its slices, whatever NNCF picks
            max_drop=max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            **settings,
        )
        after = score(openvino.compile_model(smaller, "CPU"))
    if before - after > max_drop:
        raise QuantisationError(
            f"mean volume Dice falls from {before:.4f} to {after:.4f} on {len(volumes)} validation patients, more than "
            f"the {max_drop} that are allowed; int8 is not written"
        )
    path = weights.path.with_name(f"{INT8_NAME}.xml")
    openvino.save_model(smaller, path)
    return _enter(path, before, after, len(calibration))


def _calibration_slices(patients: list[Patient], size: int) -> Iterator[np.ndarray]:
    """Yield a few slices of each patient, half of them with lesion where there is one."""
    rng = np.random.default_rng(SEED)
    for patient in patients:
        volume = load_volume(patient)
        images = normalise(volume.images)
        lesion = np.flatnonzero(volume.expected_mask.any(axis=(1, 2)))
        for number in range(SLICES_PER_PATIENT):
            choice = lesion if number % 2 and len(lesion) else np.arange(len(volume))
            yield _square(images[rng.choice(choice)], size)


def _square(slice_: np.ndarray, size: int) -> np.ndarray:
    return Letterbox.of(slice_.shape, size).forward(slice_)[np.newaxis]


def _mean_dice(compiled: "CompiledModel", inputs: Iterable[np.ndarray], volumes: list[Volume], size: int) -> float:
    """Return the mean volume Dice at 0.5 of a compiled network over all slices of the volumes, in order."""
    request = compiled.create_infer_request()
    port = compiled.output("probability")
    inputs = iter(inputs)
    scores = []
    for volume in volumes:
        letterbox = Letterbox.of(volume.images.shape[1:], size)
        masks = [letterbox.inverse(request.infer([next(inputs)])[port][0, ..., 0]) >= 0.5 for _ in range(len(volume))]
        scores.append(volume_dice(np.stack(masks), volume.expected_mask, volume.has_mask))
    return float(np.nanmean(scores))


def _enter(network: Path, before: float, after: float, calibration_patients: int) -> dict:
    """Write into `config.json` what the 8-bit network is worth, and return it."""
    entry = {
        "validation_dice_before": round(before, 5),
        "validation_dice": round(after, 5),
        "calibration_patients": calibration_patients,
        "sha256": {suffix: file_sha256(network.with_suffix(f".{suffix}")) for suffix in ("xml", "bin")},
    }
    path = network.with_name("config.json")
    write_text(path, json.dumps({**json.loads(path.read_text()), "int8": entry}, indent=1) + "\n")
    return entry
