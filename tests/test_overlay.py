"""Pictures, pixel by pixel."""

import cv2
import numpy as np
import pytest

from unet import overlay

pytestmark = pytest.mark.quick

BLACK = np.zeros((6, 6, 3), np.uint8)


def block(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((6, 6), np.uint8)
    mask[rows, columns] = 1
    return mask


def test_grey_to_rgb():
    assert overlay.grey_to_rgb(np.array([[0, 7]], np.uint8)).tolist() == [[[0, 0, 0], [7, 7, 7]]]


def test_to_display_is_linear_between_the_ends():
    grey = np.array([[-50, 0, 50, 100, 150, 200, 900]], np.float32)
    assert overlay.to_display(grey, (0, 200)).tolist() == [[0, 0, 64, 128, 191, 255, 255]]
    assert overlay.to_display(grey, (100, 200)).tolist() == [[0, 0, 0, 0, 128, 255, 255]]
    assert overlay.to_display(grey, (5, 5)).tolist() == [[0, 0, 255, 255, 255, 255, 255]]  # an empty window is a step
    assert overlay.to_display(np.array([[0, 255]], np.uint8), (0, 255)).dtype == np.uint8


def test_display_window_ignores_a_few_hot_pixels():
    volume = np.full((100, 100), 80.0)
    volume[0, :10] = 4000
    assert overlay.display_window(volume) == (0.0, 80.0)
    assert overlay.display_window(np.zeros((4, 4))) == (0.0, 1.0)


@pytest.mark.parametrize("opacity, expected", [(0, [100, 100, 100]), (0.5, [150, 75, 50]), (1, [200, 50, 0])])
def test_draw_mask_blends(opacity, expected):
    picture = np.full((6, 6, 3), 100, np.uint8)
    mask = block(slice(1, 3), slice(2, 5))
    drawn = overlay.draw_mask(picture, mask, (200, 50, 0), opacity)
    assert drawn.dtype == np.uint8
    assert (drawn[mask == 1] == expected).all()
    assert (drawn[mask == 0] == 100).all()


def test_outline_is_the_edge_of_the_mask_only():
    mask = block(slice(1, 5), slice(1, 5))
    edge = mask - block(slice(2, 4), slice(2, 4))
    assert overlay.mask_edge(mask).tolist() == edge.tolist()
    drawn = overlay.draw_mask(BLACK, mask, (10, 20, 30), 1, outline=True)
    assert (drawn[edge == 1] == [10, 20, 30]).all()
    assert not drawn[edge == 0].any()


def test_outline_runs_along_the_rim_of_the_picture():
    everything = np.ones((6, 6), np.uint8)
    assert overlay.mask_edge(everything).tolist() == (everything - block(slice(1, 5), slice(1, 5))).tolist()
    assert overlay.mask_edge(np.zeros((6, 6), np.uint8)).sum() == 0
    assert overlay.mask_edge(block(slice(3, 4), slice(3, 4))).sum() == 1


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
def test_draw_errors_colours_hits_false_positives_and_misses(dtype):
    predicted, expected = block(slice(0, 2), slice(0, 4)), block(slice(0, 2), slice(2, 6))
    drawn = overlay.draw_errors(BLACK, predicted.astype(dtype), expected.astype(dtype), opacity=1)
    assert drawn[0].tolist() == [[230, 159, 0]] * 2 + [[0, 158, 115]] * 2 + [[204, 121, 167]] * 2
    assert drawn[1].tolist() == drawn[0].tolist()
    assert not drawn[2:].any()


def test_nothing_is_changed_in_place():
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    mask, other = block(slice(1, 5), slice(1, 5)), block(slice(0, 3), slice(0, 3))
    before = picture.copy(), mask.copy(), other.copy()
    for outline in (False, True):
        overlay.draw_mask(picture, mask, (1, 2, 3), 1, outline)
        overlay.draw_errors(picture, mask, other, 1, outline)
    overlay.mask_edge(mask)
    overlay.to_display(picture, (10, 20))
    overlay.encode_png(picture)
    for now, then in zip((picture, mask, other), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_png_keeps_red_red(tmp_path):
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[0, 0], picture[1, 2] = (255, 0, 0), (1, 2, 3)
    overlay.write_png(tmp_path / "a.png", picture)
    encoded = (tmp_path / "a.png").read_bytes()
    assert encoded == overlay.encode_png(picture)
    assert encoded.startswith(b"\x89PNG\r\n\x1a\n")
    read = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_COLOR)  # BGR
    assert read is not None and read[0, 0].tolist() == [0, 0, 255] and read[1, 2].tolist() == [3, 2, 1]


def test_png_of_grey():
    grey = np.array([[0, 128, 255]], np.uint8)
    encoded = np.frombuffer(overlay.encode_png(grey), np.uint8)
    read = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    assert read is not None and read.tolist() == [[0, 128, 255]]
