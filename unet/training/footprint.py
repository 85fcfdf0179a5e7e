"""How large a run is, before any of it is built: parameters, disk, memory. Knows no TensorFlow."""

from collections.abc import Sequence

from PIL import Image

from unet.data.patients import Patient
from unet.training.config import TrainingConfig
from unet.training.validation import VALIDATION_SLICES

VOXEL_BYTES = 4  # three channels and the mask, uint8
# of the process, on a CPU; see `peak_memory`
LIBRARY_BYTES = 1_100_000_000
PARAMETER_BYTES = 52
TRAINING_BYTES, FORWARD_BYTES = 95, 32  # for each filter and pixel of a slice


def parameters(filters: int, architecture: str = "attention-unet") -> int:
    """Return how many numbers the network holds: a polynomial, as every layer's width is a multiple of `filters`.

    >>> parameters(64)
    32094725
    """
    square, linear, constant = {
        "attention-unet": (7829, 424, 5),
        "unet": (7574, 319, 1),
        "attention-unet-context": (7829, 478, 5),  # 6 more channels × 3 × 3 × filters in the first convolution
    }[architecture]
    return square * filters**2 + linear * filters + constant


def disk_need(filters: int, architecture: str = "attention-unet") -> int:
    """Return the bytes a run needs at most: an old and a new checkpoint, the best weights twice, previews and log.

    A checkpoint is four float32 copies: network, average and the optimizer's two moments. Of the previews
    (`unet.training.previews`) 40 epochs of 6 slices are kept, at 256² 0.92 MB each if nothing of it compressed.
    """
    return parameters(filters, architecture) * (2 * 4 * 4 + 2 * 2) + 60_000_000


def volume_bytes(patients: Sequence[Patient]) -> list[int]:
    """Return what the volume of each patient takes once it is loaded, the size of its first slice read from its header.

    Raises:
        OSError: a slice is no picture, or is gone.
    """
    sizes = []
    for patient in patients:
        with Image.open(next(iter(patient.images.values()))) as picture:
            sizes.append(len(patient.images) * picture.width * picture.height * VOXEL_BYTES)
    return sizes


def peak_memory(config: TrainingConfig, volumes: Sequence[int] = ()) -> int:
    """Return the bytes that the process of a run takes at its peak on a CPU, an estimate that is rather too high.

    A sum of what grows: parameters (weights, gradients, moments, the average, and copies of them for a checkpoint),
    activations at the largest size (filters × slices × pixels, of a training batch or of the slices that are validated
    at once, whichever takes more), and data (all volumes; of the largest one also its normalised slices).

    The constants are those of a fit to the peak resident memory (`VmHWM`) of twelve runs of three steps on two cores,
    most of them in float32, with 8 to 64 filters, 64² to 256² pixels and 4 to 64 slices in a batch.
    `python -m tests.measure_training memory` measures seven of them again. A GPU holds parameters and activations in a
    memory of its own, so that there the estimate is far too high.

    Args:
        config: settings of the run.
        volumes: bytes of each volume in memory, from `volume_bytes`.

    >>> round(peak_memory(TrainingConfig(filters=64, sizes=(256,), batch_size=16, epochs=1)) / 1e9, 1)
    9.1
    """
    network = parameters(config.filters, config.architecture) * PARAMETER_BYTES
    slice_bytes = max(config.batch_size * TRAINING_BYTES, VALIDATION_SLICES * FORWARD_BYTES)
    activations = config.filters * max(config.sizes) ** 2 * slice_bytes
    normalised = max(volumes, default=0) * 6  # three float32 channels, twice
    return LIBRARY_BYTES + network + activations + sum(volumes) + normalised
