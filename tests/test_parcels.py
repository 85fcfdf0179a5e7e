"""What is packed for the browser is what was there: read back here as `store.js` does."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.volume import Volume
from unet.inference.running import RunningSegmentation
from unet.inference.segmenter import Segmenter
from unet.postprocessing import PostProcessing
from unet.weights.network import find_weights
from views.viewer.parcels import pack, parcel_order, prediction_parcel, to_bytes, volume_parcel, volume_parts

pytestmark = pytest.mark.quick


def unpacked(parcel: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    start = 4 + int.from_bytes(parcel[:4], "little")
    header, payload = json.loads(parcel[4:start]), zlib.decompress(parcel[start:])
    arrays = {
        entry["name"]: np.frombuffer(payload, entry["type"], entry["length"], entry["offset"])
        for entry in header["arrays"]
    }
    return header, arrays


def tiny_volume(images: np.ndarray) -> Volume:
    expected = np.zeros(images.shape[:3], np.uint8)
    expected[1, 2, 1:4] = 1
    return Volume("P", images, expected, np.array([True, True, False]), np.array([3, 4, 6]))


def test_arrays_come_back_aligned():
    arrays = {"odd": np.arange(5, dtype=np.uint8), "even": np.arange(3, dtype=np.uint16)}
    header, found = unpacked(pack({"kind": "x"}, arrays))
    assert header["kind"] == "x"
    assert [entry["offset"] for entry in header["arrays"]] == [0, 8]
    assert found["odd"].tolist() == [0, 1, 2, 3, 4]
    assert found["even"].tolist() == [0, 1, 2]


def test_a_volume_of_the_data_set_travels_as_it_is():
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    volume = tiny_volume(images)
    brain = np.zeros((3, 5, 7), bool)
    brain[0, :2] = True
    header, arrays = unpacked(volume_parcel(volume, "abc", brain, (0, 3)))
    assert header["shape"] == [3, 5, 7]
    assert (header["first"], header["end"]) == (0, 3)
    assert header["brain"] == [14, 0, 0]
    assert header["has_mask"] == [1, 1, 0]
    assert header["unit"] == [{"scale": 1, "offset": 0}] * 3
    assert (arrays["images"].reshape(images.shape) == images).all()
    assert (np.unpackbits(arrays["expected"])[: 3 * 5 * 7].reshape(3, 5, 7) == volume.expected_mask).all()


def test_a_float_volume_comes_back_within_a_step():
    images = np.random.default_rng(0).normal(-3, 700, (3, 5, 7, 3)).astype(np.float32)
    images[..., 2] = 4.5
    header, arrays = unpacked(volume_parcel(tiny_volume(images), "abc", np.ones((3, 5, 7), bool), (0, 3)))
    scale, offset = (np.array([unit[name] for unit in header["unit"]]) for name in ("scale", "offset"))
    back = arrays["images"].reshape(images.shape) * scale + offset
    assert np.abs(back - images).max() <= scale.max() / 2 + 1e-3
    assert (back[..., 2] == 4.5).all()


def test_a_large_volume_travels_in_parts_on_one_scale():
    images = np.zeros((5, 512, 512, 3), np.float32)
    images[4] = 1000
    images[2, 7, 9] = 250
    expected = np.zeros(images.shape[:3], np.uint8)
    expected[3, 1, 2] = 1
    volume = Volume("P", images, expected, np.ones(5, bool), np.arange(5))
    assert volume_parts(volume) == [(0, 2), (2, 4), (4, 5)]  # 1.5 MB a slice, 4 MB a parcel
    header, arrays = unpacked(volume_parcel(volume, "abc", np.ones(images.shape[:3], bool), (2, 4)))
    assert (header["first"], header["end"], header["shape"]) == (2, 4, [5, 512, 512])
    found = arrays["images"].reshape(2, 512, 512, 3)
    assert header["unit"][1]["scale"] == pytest.approx(1000 / 65535)
    assert found[0, 7, 9].tolist() == [16384] * 3  # a quarter of the way to the brightest slice, which is elsewhere
    assert np.argwhere(np.unpackbits(arrays["expected"]).reshape(2, 512, 512)).tolist() == [[1, 1, 2]]


def test_another_rule_for_the_mask_is_another_network_to_the_browser():
    weights = find_weights()
    assert weights.key == f"{weights.sha256[:16]}-160-0.0-0-False"
    assert replace(weights, post_processing=PostProcessing(min_voxels=9)).key != weights.key


def test_values_become_the_steps_of_the_colour_scale():
    assert to_bytes(np.array([0, 0.001, 0.002, 0.5, 1], np.float16)).tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize(("near", "expected"), [(0, [0, 4, 8]), (9, [8, 4, 0]), (5, [4, 0, 8])])
def test_parcels_come_outward_from_the_slice_that_is_looked_at(near, expected):
    assert parcel_order(slices=11, near=near) == expected


def test_a_prediction_runs_only_what_its_parcel_needs(monkeypatch):
    volume = load_volume(list_patients(DEMO_FOLDER)[0][0])
    volume = replace(volume, images=volume.images[8:14])
    network = Segmenter(find_weights())
    running = RunningSegmentation(network, volume.images)
    header, arrays = unpacked(prediction_parcel(running, 4, "abc", "m"))
    assert running.progress == pytest.approx(2 / 6)
    assert (header["first"], header["end"], header["shape"]) == (4, 6, [6, 256, 256])
    whole = network.segment(volume.images)
    probability = arrays["probability"].view(np.float16).reshape(2, 256, 256)
    assert (probability == whole.probability[4:]).all()
    assert header["sides"] == [level.shape[-1] for level in whole.attention]
    assert (arrays["attention_4"].reshape(2, *whole.attention[3].shape[1:]) == to_bytes(whole.attention[3][4:])).all()
