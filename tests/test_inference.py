"""The segmenter: both engines agree, one pass gives all, volumes come back on their own grid."""

import copy
import gc
import shutil
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from unet.benchmark import run as benchmark
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.inference import fair_lock, running
from unet.inference.conversion import openvino_model
from unet.inference.engines import InferenceError
from unet.inference.fair_lock import FairLock
from unet.inference.running import RunningSegmentation
from unet.inference.segmenter import Segmenter
from unet.metrics import dice_score
from unet.model import built_in
from unet.preprocessing import intensity_statistics
from unet.weights.arrays import WeightsError
from unet.weights.network import find_weights


@pytest.fixture(scope="module")
def weights():
    return find_weights()


@pytest.fixture(scope="module")
def network(weights):
    return Segmenter(weights, "openvino")


@pytest.fixture(scope="module")
def phantoms():
    return {patient.patient_id: load_volume(patient) for patient in list_patients(DEMO_FOLDER)[0]}


@pytest.fixture(scope="module")
def phantom(phantoms):
    return phantoms["PHANTOM_ICBM_0002_20260102"]


@pytest.fixture(scope="module")
def segmentation(network, phantom):
    return network.segment(phantom.images)


def test_shapes_and_ranges(segmentation, weights):
    assert segmentation.probability.shape == (24, 256, 256)
    sides = [level.shape for level in segmentation.attention]
    assert sides == [(24, weights.size // 2**level, weights.size // 2**level) for level in (1, 2, 3, 4)]
    for values in (segmentation.probability, *segmentation.attention):
        assert values.dtype == np.float16
        assert 0 <= values.min() <= values.max() <= 1


def test_what_visitors_share_cannot_be_changed(segmentation):
    for values in (segmentation.probability, *segmentation.attention):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_openvino_and_keras_draw_the_same_lesion(weights, phantom, segmentation):
    lesion = int(phantom.expected_mask.sum(axis=(1, 2)).argmax())
    with built_in("mixed_bfloat16"):  # as a training run in the same process would leave it
        keras = Segmenter(weights, "keras")
    prediction = keras.predict(phantom.images[lesion], intensity_statistics(phantom.images))
    theirs, ours = prediction.probability >= 0.5, segmentation.mask(0.5)[lesion].astype(bool)
    union = theirs | ours
    assert union.sum() > 500
    # bfloat16 against float32: of the lesion's pixels 99 in 100 on this slice, whole volumes do better
    assert (theirs == ours)[union].mean() >= 0.99
    forced = Segmenter(weights, "openvino", "f32")
    same = forced.predict(phantom.images[lesion], intensity_statistics(phantom.images))
    assert np.abs(same.probability - prediction.probability).max() < 1e-3
    assert ((same.probability >= 0.5) == theirs)[union].mean() >= 0.999
    for level, other in zip(same.attention, prediction.attention, strict=True):
        assert np.abs(level - other).max() < 1e-3


def test_converted_network_draws_the_masks_of_keras_on_whole_phantoms(weights, monkeypatch):
    monkeypatch.setattr(benchmark, "list_patients", lambda folder: (list_patients(folder)[0][:2], []))
    figures = benchmark.phantom_agreement(weights)
    assert figures["counted_on"] == "2 phantoms with attention-unet-32"
    assert figures["lesion_pixels"] > 15_000
    assert figures["float32_mask_agreement"] >= 0.999
    # bfloat16, where the processor has it, moves one pixel in a thousand, int8 one in a hundred, on the outline
    assert figures["mask_agreement"] >= 0.995
    assert figures["int8_mask_agreement"] >= 0.96


def test_shipped_weights_find_every_phantom(network, phantoms):
    scores = {
        patient_id: dice_score(network.segment(volume.images).mask(0.5), volume.expected_mask)
        for patient_id, volume in phantoms.items()
    }
    assert len(scores) == 6
    assert min(scores.values()) >= 0.75, scores


def test_shipped_int8_finds_every_phantom_too(weights, phantoms):
    if weights.int8 is None:
        pytest.skip("the default weights are not shipped in int8: it cost more Dice than is allowed")
    network = Segmenter(weights, precision="int8")
    assert network.engine_name == "OpenVINO int8"
    scores = {
        patient_id: dice_score(network.segment(volume.images).mask(0.5), volume.expected_mask)
        for patient_id, volume in phantoms.items()
    }
    assert min(scores.values()) >= 0.75, scores


def test_int8_that_is_not_shipped_is_refused(weights):
    with pytest.raises(InferenceError, match="has no int8 network. Leave `precision` out"):
        Segmenter(replace(weights, int8=None), precision="int8")


def test_input_is_not_changed(network, phantom):
    image = phantom.images[14].copy()
    network.predict(image)
    assert (image == phantom.images[14]).all()


@pytest.mark.parametrize("shape", [(100, 180), (300, 200), (512, 512), (17, 19)])
def test_any_size_comes_back_on_its_own_grid(network, shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    assert network.predict(image).probability.shape == shape


def test_a_slice_that_is_not_finite_is_refused(network):
    image = np.full((64, 64, 3), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN or infinite"):
        network.predict(image)


def test_attention_lies_over_its_slice(segmentation):
    values = segmentation.attention_over_slice(4, 14)
    assert values.shape == (256, 256)
    coarse = segmentation.attention[3][14].astype(np.float32)
    cell = 256 / coarse.shape[0]
    middle = int(cell * 2.5)
    assert values[middle, middle] == pytest.approx(coarse[2, 2], abs=1e-3)


def test_threshold_is_inclusive(segmentation):
    value = float(segmentation.probability.max())
    assert segmentation.mask(value).sum() == (segmentation.probability == np.float16(value)).sum()


def test_two_threads_share_one_volume(network, phantom, segmentation, monkeypatch):
    calls = []
    original = Segmenter.predict_slices
    monkeypatch.setattr(Segmenter, "predict_slices", lambda *args, **more: calls.append(1) or original(*args, **more))
    running = RunningSegmentation(network, phantom.images)
    with pytest.raises(InferenceError, match="0% of the slices are segmented"):
        running.result()

    def finish():
        while not running.advance():
            pass

    threads = [threading.Thread(target=finish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 24
    assert running.progress == 1
    assert (running.result().probability == segmentation.probability).all()


def test_slices_come_outward_from_the_one_that_is_looked_at(network, phantom, segmentation, monkeypatch):
    order = []
    original = Segmenter.predict_slices

    def remember(self, images, statistics, indices, **more):
        order.extend(indices)
        return original(self, images, statistics, indices=indices, **more)

    monkeypatch.setattr(Segmenter, "predict_slices", remember)
    running = RunningSegmentation(network, phantom.images)
    for _ in range(5):
        running.advance(near=20)
    assert order == [20, 19, 21, 18, 22]
    assert running.part(16, 20) is None
    early = running.part(18, 22)
    running.advance(near=3)
    assert order[-1] == 3
    while not running.advance(near=20):
        pass
    assert sorted(order) == list(range(24))
    for part in (early, running.part(18, 22)):
        assert part is not None
        assert (part.probability == segmentation.probability[18:22]).all()
        assert (part.attention[2] == segmentation.attention[2][18:22]).all()


def test_who_stops_while_waiting_leaves_the_queue(network, phantom):
    running = RunningSegmentation(network, phantom.images)

    class StoppedError(Exception):
        pass

    def stop(before: int) -> None:
        raise StoppedError  # as Streamlit ends a script at its next word to the browser

    with network._lock.turn(), pytest.raises(StoppedError):
        running.advance(on_wait=stop)
    assert (network.waiting, running.progress) == (0, 0)
    assert not running.advance()  # neither lock is held
    assert running.progress == 1 / 24


def test_what_is_done_is_given_out_while_the_network_is_busy(network, phantom, monkeypatch):
    running = RunningSegmentation(network, phantom.images)
    running.advance(near=20)
    begun, released = threading.Event(), threading.Event()
    original = Segmenter.predict_slices

    def wait(*args, **more):
        begun.set()
        released.wait(60)
        return original(*args, **more)

    monkeypatch.setattr(Segmenter, "predict_slices", wait)
    other = threading.Thread(target=running.advance)
    other.start()
    begun.wait(60)
    part = running.part(20, 21)
    assert other.is_alive()
    assert part is not None and part.probability.shape == (1, 256, 256)
    assert running.progress == pytest.approx(1 / 24)
    released.set()
    other.join()


def test_a_finished_one_lets_the_pictures_go(network, phantom):
    images = phantom.images[:2].copy()
    running = RunningSegmentation(network, images)
    held = weakref.ref(images)
    del images
    while not running.advance():
        pass
    gc.collect()
    assert held() is None
    assert running.slices == 2
    assert running.result().probability.shape == (2, 256, 256)


def test_a_network_with_context_sees_the_neighbours_of_a_slice(weights, network, phantom, monkeypatch):
    seen = []

    class Engine:
        def run(self, squares):
            seen.append(squares)
            return [np.zeros((len(squares), weights.size, weights.size, 1), np.float32)] * 5

    with_context = copy.copy(network)
    with_context.weights = replace(weights, architecture="attention-unet-context")
    with_context._engine = Engine()
    with_context.predict_slices(phantom.images, indices=[0, 12])
    network_with_three = copy.copy(network)
    network_with_three._engine = Engine()
    network_with_three.predict_slices(phantom.images, intensity_statistics(phantom.images), indices=[0, 1, 11, 12, 13])
    nine, three = seen
    assert nine.shape == (2, weights.size, weights.size, 9)
    np.testing.assert_array_equal(nine[0], np.concatenate([three[0], three[0], three[1]], axis=-1))
    np.testing.assert_array_equal(nine[1], np.concatenate([three[2], three[3], three[4]], axis=-1))


def test_turns_are_taken_in_the_order_of_asking():
    lock, order, threads = FairLock(), [], []

    def take(number):
        with lock.turn():
            order.append(number)

    with lock.turn():
        for number in range(12):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while lock.waiting <= number:
                time.sleep(0.001)
        assert lock.waiting == 12
    for thread in threads:
        thread.join(5)
    assert order == list(range(12))
    assert lock.waiting == 0


def test_a_turn_that_fails_lets_the_next_one_in():
    lock = FairLock()
    with pytest.raises(KeyError), lock.turn():
        raise KeyError
    with lock.turn():
        assert lock.waiting == 0


def test_who_waits_is_told_how_many_are_before_and_may_leave(monkeypatch):
    monkeypatch.setattr(fair_lock, "TELL_SECONDS", 0.01)
    lock, order, told = FairLock(), [], {"stays": [], "leaves": []}

    def take(name, on_wait=None):
        with suppress(KeyError), lock.turn(on_wait):
            order.append(name)

    def leave(before):
        told["leaves"].append(before)
        raise KeyError

    with lock.turn():
        threads = []
        for ask in [("silent",), ("leaves", leave), ("stays", told["stays"].append)]:
            threads.append(threading.Thread(target=take, args=ask))
            threads[-1].start()
            while ask[0] == "silent" and lock.waiting < 1:
                time.sleep(0.001)
            while ask[0] != "silent" and not told[ask[0]]:
                time.sleep(0.001)
            if ask[0] == "leaves":
                threads[-1].join(5)
        assert lock.waiting == 2
    for thread in threads:
        thread.join(5)
    assert set(told["leaves"]) == set(told["stays"]) == {2}  # the one that holds the lock, and the silent one
    assert order == ["silent", "stays"]


def test_a_volume_on_its_way_tells_everybody_who_waits_for_it_what_is_before_it(weights, monkeypatch):
    monkeypatch.setattr(fair_lock, "TELL_SECONDS", 0.01)
    monkeypatch.setattr(running, "TELL_SECONDS", 0.01)
    network = Segmenter(weights)
    volume = running.RunningSegmentation(network, np.zeros((2, 64, 64, 3), np.uint8))
    told = {"first": [], "second": []}
    with network._lock.turn():  # another visitor's slice
        visitors = [
            threading.Thread(target=volume.part_when_done, args=(0, 2, told[name].append))
            for name in ("first", "second")
        ]
        for visitor in visitors:
            visitor.start()
        for _ in range(5000):
            if all(told.values()):
                break
            time.sleep(0.001)
    for visitor in visitors:
        visitor.join(30)
    assert {name: set(before) for name, before in told.items()} == {"first": {1}, "second": {1}}
    assert volume.progress == 1


def test_serving_does_not_import_tensorflow(weights):
    openvino_model(weights)  # converted once, from now on cached
    program = (
        "import sys, numpy as np\n"
        "from unet.inference.segmenter import Segmenter\n"
        "from unet.weights.network import find_weights\n"
        "Segmenter(find_weights()).predict(np.zeros((64, 64, 3), np.uint8))\n"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_cache_is_keyed_by_the_weights(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("UNET_CACHE", str(tmp_path))
    path = openvino_model(weights)
    assert path == tmp_path / f"{weights.sha256[:32]}-{weights.size}" / "model.xml"
    assert sorted(child.name for child in tmp_path.iterdir()) == sorted([path.parent.name, "convert.lock"])


def test_a_cache_folder_that_cannot_be_made_is_named(weights, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InferenceError, match=r"file/cache cannot be written .*Set UNET_CACHE"):
        Segmenter(weights)


def test_unknown_engine_is_refused(weights):
    with pytest.raises(InferenceError, match="expected auto, openvino or keras"):
        Segmenter(weights, "onnx")


def test_without_openvino_keras_stands_in(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert Segmenter(weights).engine_name == "Keras float32"
    with pytest.raises(InferenceError, match="pip install openvino"):
        Segmenter(weights, "openvino")


def test_weights_of_another_width_are_refused(weights, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(weights.path.parent, folder)
    config = (folder / "config.json").read_text().replace('"filters": 32', '"filters": 16')
    (folder / "config.json").write_text(config)
    with pytest.raises(WeightsError, match="another architecture or width"):
        Segmenter(find_weights(folder), "keras")
