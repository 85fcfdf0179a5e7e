"""The benchmark's arithmetic on networks small enough to count by hand; its speed is for the benchmark to say."""

import numpy as np
import pytest

from unet.benchmark import engines
from unet.benchmark import run as benchmark
from unet.benchmark.engines import LOADERS, in_own_process, write_networks
from unet.benchmark.network import convolution_flop, synthetic_network, synthetic_slice
from unet.inference.conversion import export_openvino
from unet.inference.engines import output_names
from unet.inference.folding import fold_steps_up

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def result():
    return benchmark.run_benchmark(processes=3, rounds=1, widths=(2,), size=32, with_memory=False)


def test_convolution_flop_of_a_network_counted_by_hand():
    import keras
    from keras import layers

    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(5, 3, padding="same")(inputs)  # 8·8 outputs × 3·3·3·5 = 8,640 multiply-adds
    x = layers.Conv2D(2, 1, strides=2)(x)  # 4·4 × 1·1·5·2 = 160
    x = layers.Conv2DTranspose(4, 2, strides=2)(x)  # 4·4 inputs × 2·2·2·4 = 512
    x = layers.BatchNormalization()(layers.ReLU()(x))
    converted = openvino.convert_model(keras.Model(inputs, x), input=[1, 8, 8, 3])
    assert convolution_flop(converted) == 2 * (8_640 + 160 + 512)


def test_reference_network_is_97_9_gflop_a_slice_and_91_5_folded(tmp_path):
    from unet.model import attention_unet

    export_openvino(attention_unet(64), tmp_path / "model.xml")
    converted = openvino.Core().read_model(tmp_path / "model.xml")
    assert convolution_flop(converted) / 1e9 == pytest.approx(97.95, abs=0.005)
    fold_steps_up(converted)
    # on each of four levels 3 f fewer of the multiply-adds for f channels, 64² · 256² of them for one f
    saved = 4 * 2 * 3 * 64**2 * 256**2 / 1e9
    assert convolution_flop(converted) / 1e9 == pytest.approx(97.95 - saved, abs=0.005)


def test_figures_say_what_they_depend_on(result):
    assert list(result) == ["machine", "2", "bar"]
    assert {"cpu_flags", "cores", "openvino", "tensorflow", "keras"} <= set(result["machine"])
    assert result["bar"]["ratio"] in (0.38, 0.85)
    assert isinstance(result["bar"]["met"], bool)


def test_figures_of_a_width_belong_together(result):
    figures = result["2"]
    assert figures["ratio"] == figures["ratios"]["openvino"]
    for engine, ratios in figures["process_ratios"].items():
        assert len(ratios) == 3
        assert figures["ratios"][engine] == sorted(ratios)[1]
    assert figures["process_ratios"]["keras_predict"] == [1, 1, 1]
    run = set(LOADERS) - set(figures["left_out"])
    assert {"keras_predict", "tf_function", "openvino", "openvino_fp32"} <= run
    assert set(figures["gflops"]) == set(figures["ratios"]) == set(figures["volume_s"]) == run
    seconds = figures["keras_predict_ms"] / 1000
    assert figures["gflops"]["keras_predict"] == pytest.approx(figures["gflop"] / seconds, rel=0.05)
    assert 0 <= figures["mask_agreement"] <= 1
    assert figures["lesion_pixels"] > 0
    assert figures["counted_on"] == "the synthetic slice"  # no weights of 2 filters ship
    assert 0 <= figures["max_probability_difference"] <= 1
    assert 0 <= figures["attention_max_difference"] < 0.2


def test_table_names_every_engine_and_the_verdict(result):
    text = benchmark.table(result)
    assert all(text.count(f"  {engine} ") == 1 for engine in LOADERS)
    assert text.splitlines()[-1].startswith("bar: ratio ≤ 0.")


def test_rounds_interleave_the_engines_and_count_the_second_of_two_calls(monkeypatch):
    order, clock = [], [0.0]

    def call(name, *durations):
        def run():
            order.append(name)
            clock[0] += durations[order.count(name) - 1]

        return run

    monkeypatch.setattr(engines.time, "perf_counter", lambda: clock[0])
    calls = {"a": call("a", 9, 1, 9, 3), "b": call("b", 9, 5, 9, 5)}
    assert engines.median_milliseconds(calls, rounds=2) == {"a": 2000, "b": 5000}
    assert order == ["b", "b", "a", "a", "a", "a", "b", "b"]


def test_synthetic_network_marks_the_disc_and_is_the_same_every_time():
    slices, lesion = synthetic_slice(64)
    assert slices.shape == (1, 64, 64, 3) and slices.dtype == np.float32
    assert lesion.mean() == pytest.approx(0.05, abs=0.005)
    first, second = (synthetic_network(8, slices, lesion) for _ in range(2))
    probability = np.asarray(first(slices, training=False)["probability"])
    np.testing.assert_array_equal(probability, np.asarray(second(slices, training=False)["probability"]))
    found = probability[0, ..., 0] >= 0.5
    assert found[lesion].mean() > 0.6 > 0.4 > found[~lesion].mean()  # 8 features; 64 mark it to the pixel


@pytest.mark.parametrize(
    "mask, other, expected",
    [([1, 1, 0, 0], [1, 1, 0, 0], 1.0), ([1, 0, 0, 0], [0, 1, 0, 0], 0.0), ([1, 1, 1, 1], [1, 1, 1, 0], 0.75)],
)
def test_mask_agreement_counts_lesion_pixels_only(mask, other, expected):
    assert benchmark.mask_agreement(np.array(mask), np.array(other)) == expected


def test_mask_agreement_without_a_lesion_is_not_a_number():
    assert np.isnan(benchmark.mask_agreement(np.zeros(4), np.zeros(4)))


def test_agreement_is_counted_over_all_masks_together():
    masks = [np.array([[1, 1, 1, 0]], bool), np.array([1, 1, 0, 0, 0], bool)]
    others = [np.array([[1, 1, 0, 0]], bool), np.array([1, 1, 0, 0, 1], bool)]
    assert benchmark.agreement_figures(masks, others, "two masks") == {
        "mask_agreement": pytest.approx(4 / 6),
        "lesion_pixels": 6,
        "counted_on": "two masks",
    }


def test_weights_are_found_by_their_width():
    found = benchmark.shipped_weights(32)
    assert found is not None and found.name == "attention-unet-32"
    assert benchmark.shipped_weights(3) is None


def test_every_engine_gives_the_same_answers_whatever_the_number_of_slices(tmp_path):
    slices, lesion = synthetic_slice(32)
    model = synthetic_network(4, slices, lesion)
    left_out = write_networks(model, slices, tmp_path)
    assert 50 < in_own_process("memory_mb", tmp_path, "openvino") < 500  # a process of its own, without TensorFlow
    two = np.concatenate([slices, slices[:, ::-1]])
    expected = model(two, training=False)
    for engine in {"keras_predict", "tf_function", "openvino_fp32", "pytorch", "onnxruntime"} - set(left_out):
        for name, output in zip(output_names(), LOADERS[engine](tmp_path)(two), strict=True):
            np.testing.assert_allclose(output, np.asarray(expected[name]), atol=1e-4, err_msg=f"{engine}: {name}")
