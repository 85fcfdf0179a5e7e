"""What a run keeps of its validation slices: which ones, how many epochs, and that they come back as they were."""

import numpy as np
import pytest

from unet.data.volume import Volume
from unet.preprocessing import intensity_statistics
from unet.training.footprint import disk_need, parameters
from unet.training.previews import (
    MAX_EPOCHS,
    SLICES,
    Previews,
    PreviewSlices,
    chosen_slices,
    is_kept,
    predict_slices,
    preview_slices,
)
from unet.training.sampling import Example
from unet.weights.arrays import WeightsError


def example(name: str, areas: list[int], shape: tuple[int, int] = (32, 32)) -> Example:
    """A patient whose slices show lesions of these sizes, pixels."""
    images = np.random.default_rng(0).integers(0, 256, (len(areas), *shape, 3), np.uint8)
    masks = np.zeros(images.shape[:3], np.uint8)
    for mask, area in zip(masks, areas, strict=True):
        mask.flat[:area] = 1
    numbers = np.arange(1, len(areas) + 1)
    volume = Volume(name, images, masks, np.ones(len(areas), bool), numbers)
    return Example(volume, intensity_statistics(images))


def test_the_largest_lesions_are_chosen_more_of_each_patient_where_there_are_few():
    few = chosen_slices([example("A", [0, 5, 9, 7]), example("B", [4, 0, 3, 2, 1])])
    assert [(one.volume.patient_id, index) for one, index in few] == [
        *(("A", index) for index in (1, 2, 3)),
        *(("B", index) for index in (0, 2, 3)),
    ]
    many = chosen_slices([example(str(n), [0, n + 1, 1]) for n in range(9)])
    assert [(one.volume.patient_id, index) for one, index in many] == [(str(n), 1) for n in range(SLICES)]


def test_patients_of_any_size_lie_in_one_square():
    slices = preview_slices([example("A", [0, 200], (32, 32)), example("B", [600], (20, 40))])
    assert slices.images.shape == (3, 40, 40, 3)
    assert slices.patients == ["A", "A", "B"]
    assert slices.slice_numbers == [1, 2, 1]
    assert slices.expected_mask[0].sum() == 0
    assert slices.expected_mask[2, :10].sum() == 0  # above the picture
    assert slices.expected_mask[2, 10:25].all()  # its first 15 rows are lesion


def outputs(slices: np.ndarray) -> dict[str, np.ndarray]:
    """A network that takes the left half for lesion, and looks everywhere alike."""
    count, size = slices.shape[:2]
    probability = np.zeros((count, size, size, 1), np.float32)
    probability[:, :, : size // 2] = 0.75
    attention = {f"attention_{n}": np.full((count, size >> n, size >> n, 1), 0.2 * n) for n in (1, 2, 3, 4)}
    return {"probability": probability, **attention}


def test_predictions_come_back_on_the_grid_of_the_slices(tmp_path):
    validation = [example("A", [0, 5, 9, 7, 3, 2])]
    previews = Previews(tmp_path / "preview")
    previews.write_slices(preview_slices(validation))
    previews.write_epoch(3, predict_slices(validation, outputs, 16), 16)
    assert previews.epochs() == [3]
    kept = previews.read_slices()
    assert (kept.images == validation[0].volume.images).all()
    assert (kept.expected_mask == validation[0].volume.expected_mask).all()
    found = previews.read_epoch(3, side=32)
    assert found.probability.shape == (6, 32, 32)
    assert (found.mask(0.5)[:, :, :16] == 1).all() and (found.mask(0.5)[:, :, 16:] == 0).all()
    assert [level.shape for level in found.attention] == [(6, 8, 8), (6, 4, 4), (6, 2, 2), (6, 1, 1)]
    assert np.allclose(found.attention[3], 0.8)


def test_a_missing_or_damaged_epoch_is_said(tmp_path):
    previews = Previews(tmp_path)
    with pytest.raises(WeightsError, match="epoch_001.npz does not exist"):
        previews.read_epoch(1, side=32)
    previews.epoch(1).write_bytes(b"PK")
    with pytest.raises(WeightsError, match="truncated"):
        previews.read_epoch(1, side=32)


@pytest.mark.parametrize("newest", [1, 38, 39, 100, 1000, 4321])
def test_epochs_are_thinned_out_evenly_and_never_too_many(newest):
    kept = [epoch for epoch in range(1, newest + 1) if is_kept(epoch, newest)]
    assert len(kept) <= MAX_EPOCHS
    assert (kept[0], kept[-1]) == (1, newest)
    assert len(kept) >= min(newest, 19)


def test_a_long_run_leaves_what_is_kept_and_a_resumed_one_forgets_the_rest(tmp_path):
    previews = Previews(tmp_path / "preview")
    for epoch in range(1, 81):
        previews.write_epoch(epoch, {"probability": np.zeros((1, 2, 2), np.float16)}, 2)
    assert previews.epochs() == [1, *range(4, 81, 4)]
    previews.forget_after(20)
    assert previews.epochs() == [1, 4, 8, 12, 16, 20]


def test_what_does_not_compress_still_fits_what_a_run_may_need(tmp_path):
    rng = np.random.default_rng(0)
    noise = {"probability": rng.random((SLICES, 256, 256)).astype(np.float16)}
    for level in (1, 2, 3, 4):
        noise[f"attention_{level}"] = rng.integers(0, 256, (SLICES, 256 >> level, 256 >> level), np.uint8)
    previews = Previews(tmp_path / "preview")
    previews.write_epoch(1, noise, 256)
    images = rng.integers(0, 256, (SLICES, 256, 256, 3), np.uint8)
    previews.write_slices(PreviewSlices(images, images[..., 0] & 1, ["A"] * SLICES, [1] * SLICES))
    most = MAX_EPOCHS * previews.epoch(1).stat().st_size + previews.slices.stat().st_size
    assert most < disk_need(4) - 36 * parameters(4) - 15_000_000  # and room for log and events
