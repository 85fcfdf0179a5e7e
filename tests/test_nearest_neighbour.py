"""The nearest-neighbour baseline: it finds the most similar slice and copies its mask."""

import numpy as np
import pytest

from unet.data.volume import Volume
from unet.lessons.nearest_neighbour import describe, learn, scores

pytestmark = pytest.mark.quick


def volume(patient_id: str, left_edges: list[int], lesions: list[int], known: list[bool] | None = None) -> Volume:
    """Slices of 64 × 64 with a bright bar each, and a lesion of 8 × 8 each, from the columns given."""
    images = np.zeros((len(left_edges), 64, 64, 3), np.uint8)
    masks = np.zeros((len(left_edges), 64, 64), np.uint8)
    for index, (bar, lesion) in enumerate(zip(left_edges, lesions, strict=True)):
        images[index, 8:56, bar : bar + 12] = 200
        masks[index, 20:28, lesion : lesion + 8] = 1
    has_mask = np.array(known or [True] * len(images))
    return Volume(patient_id, images, masks * has_mask[:, np.newaxis, np.newaxis], has_mask, np.arange(len(images)))


def test_likeness_is_one_for_the_same_picture_whatever_its_brightness_and_minus_one_for_its_negative():
    image = np.random.default_rng(3).uniform(0, 100, (1, 64, 64, 3)).astype(np.float32)
    same, brighter, negative = (describe(one)[0] for one in (image, 3 * image + 7, -image))
    assert same @ brighter == pytest.approx(1, abs=1e-5)
    assert same @ negative == pytest.approx(-1, abs=1e-5)


def test_a_slice_without_contrast_is_like_nothing():
    np.testing.assert_array_equal(describe(np.full((2, 40, 30, 3), 9, np.uint8)), np.zeros((2, 32 * 32 * 3)))


def test_the_neighbour_is_recalled_and_never_the_slice_itself():
    # bars at 10, 14, 40: the second is most like the first, the third is far from both
    memory = learn([volume("A", [10, 14, 40], [5, 9, 50])])
    described = describe(volume("A", [10], [5]).images)[0]
    assert memory.places[memory.recall(described, ("A", 0))] == ("A", 1)
    assert memory.places[memory.recall(described, ("B", 0))] == ("A", 0)


def test_copying_scores_by_the_overlap_with_the_neighbours_lesion():
    # neighbours' lesions are four columns apart: 4 of 8 columns overlap, Dice 0.5; the third recalls the second
    own = volume("A", [10, 14, 18], [10, 14, 18])
    assert scores(learn([own]), learn([own])) == [0.5, 0.5, 0.5]
    other = volume("B", [10, 14, 18], [40, 40, 40])
    both = learn([own, other])
    assert len(both) == 6
    assert scores(learn([own]), both.without("A")) == [0.0, 0.0, 0.0]


def test_slices_without_a_known_mask_are_not_learned_and_sizes_may_differ():
    memory = learn([volume("A", [10, 14, 18], [10, 14, 18], [True, False, True])])
    assert memory.places == (("A", 0), ("A", 2))
    assert memory.copied(0, (32, 32)).sum() == 4 * 4  # a lesion of 8 × 8 on half the side
    assert memory.copied(0, (64, 64)) is memory.masks[0]


def test_nothing_to_recall_is_said():
    alone = volume("A", [10], [10])
    with pytest.raises(ValueError, match="add a volume of two or more slices"):
        scores(learn([alone]), learn([alone]))
    with pytest.raises(ValueError, match="no other training slice"):
        scores(learn([alone]), learn([]))
