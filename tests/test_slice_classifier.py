"""What slices show is told, by the shipped network and by one trained here; what does not fit is said in words."""

from pathlib import Path

import numpy as np
import pytest

from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume
from unet.scans.slice_classifier import FOLDER, SliceKind, classify, doubts, is_stripped, logits
from unet.weights.arrays import WeightsError, variable_arrays


@pytest.fixture(scope="module")
def phantoms() -> list[Volume]:
    return [load_volume(patient) for patient in list_patients(DEMO_FOLDER)[0][:3]]


def kind(sequence: int, turn: int = 0, brain: float = 1.0, probability: float = 0.9) -> SliceKind:
    def answer(which: int, count: int) -> np.ndarray:
        rest = (1 - probability) / (count - 1)
        return np.where(np.arange(count) == which, probability, rest)

    return SliceKind(answer(sequence, 3), answer(turn, 4), 0.0, brain)


def test_nothing_is_said_of_what_fits():
    assert doubts({channel: kind(channel) for channel in (PRE_CONTRAST, FLAIR, POST_CONTRAST)}) == []


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({FLAIR: kind(PRE_CONTRAST)}, ["The picture that is used as FLAIR looks like T1 (95%)"]),
        (
            {PRE_CONTRAST: kind(FLAIR), FLAIR: kind(FLAIR)},
            ["The picture that is used as pre-contrast looks like FLAIR (90%)"],
        ),
        ({FLAIR: kind(FLAIR, turn=2)}, ["The head is upside down"]),
        ({FLAIR: kind(FLAIR, turn=1)}, ["with the nose to the left"]),
        ({FLAIR: kind(FLAIR, turn=3)}, ["with the nose to the right"]),
        ({FLAIR: kind(POST_CONTRAST, turn=2, brain=0.4)}, ["These do not look like axial slices of a brain"]),
        ({FLAIR: kind(FLAIR, probability=0.32)}, []),
    ],
)
def test_what_does_not_fit_is_said(kinds, words):
    found = doubts(kinds)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_pre_and_post_contrast_are_not_told_apart_by_a_warning():
    assert doubts({PRE_CONTRAST: kind(POST_CONTRAST), FLAIR: kind(FLAIR)}) == []


def test_phantoms_are_what_they_are(phantoms):
    for phantom in phantoms:
        assert doubts(classify(phantom.images)) == []
        assert not is_stripped(classify(phantom.images))


def test_a_phantom_upside_down_is_told(phantoms):
    assert "The head is upside down" in doubts(classify(phantoms[0].images[:, ::-1]))[0]


def test_t1_as_flair_is_told(phantoms):
    alone = phantoms[0].images[..., [PRE_CONTRAST] * 3]
    assert "The picture that is used as FLAIR looks like T1" in doubts(classify(alone))[0]


def test_noise_is_no_brain():
    noise = np.random.default_rng(1).integers(0, 255, (4, 128, 128, 3)).astype(np.uint8)
    assert doubts(classify(noise)) == ["These do not look like axial slices of a brain in MRI."]


def test_a_damaged_network_is_named(tmp_path):
    for name in ("classifier.json", "classifier.npz"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    content = bytearray((tmp_path / "classifier.npz").read_bytes())
    content[-40_000] ^= 1
    (tmp_path / "classifier.npz").write_bytes(content)
    with pytest.raises(WeightsError, match="classifier.npz is truncated"):
        classify(np.ones((1, 64, 64, 3), np.uint8), tmp_path)
    (tmp_path / "classifier.npz").write_bytes((FOLDER / "classifier.npz").read_bytes())
    (tmp_path / "classifier.json").write_text('{"sha256": "0"}')
    with pytest.raises(WeightsError, match="is not the one that its classifier.json describes"):
        classify(np.ones((1, 64, 64, 3), np.uint8), tmp_path)
    with pytest.raises(WeightsError, match="Check the project out again"):
        classify(np.ones((1, 64, 64, 3), np.uint8), tmp_path / "none")


def test_numpy_computes_what_keras_does(phantoms, tmp_path):
    from unet.training import slice_classifier

    slice_classifier.train(phantoms[:2], phantoms[2:], tmp_path, seed=1, steps=10)
    kinds = classify(phantoms[2].images, tmp_path)
    assert set(kinds) == {PRE_CONTRAST, FLAIR, POST_CONTRAST}
    assert kinds[FLAIR].sequence.sum() == pytest.approx(1)
    assert "| brain | " in (tmp_path / "README.md").read_text()
    network = slice_classifier.build()
    squares = np.random.default_rng(1).normal(size=(3, 64, 64, 1)).astype(np.float32)
    ours = logits(squares, variable_arrays(network.variables))
    np.testing.assert_allclose(ours, np.asarray(network(squares)), atol=1e-4)


def test_the_card_says_what_made_the_network():
    card = (Path(FOLDER) / "README.md").read_text()
    assert "`python train.py --slice-classifier" in card
    assert "validation patients, which decided nothing" in card
