"""The model that comes with the repository."""

from __future__ import annotations

import numpy as np
import pytest

import models
from models.bundle.encoder import BundleEncoder
from models.bundle.loading import DEFAULT_BUNDLE, find_bundle_folder
from models.bundle.manifest import CARD_FILE
from models.bundle.verifying import verify_bundle
from tests.support.make_tiny_bundle import sample_clips

MAX_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def encoder() -> BundleEncoder:
    return models.load_bundle(device="cpu", runtime="onnx", threads=1)


def test_it_is_the_default(encoder: BundleEncoder) -> None:
    assert encoder.name == DEFAULT_BUNDLE
    assert encoder.model_id == models.load_bundle(DEFAULT_BUNDLE, device="cpu").model_id


def test_it_is_sound_in_both_runtimes_and_small_enough() -> None:
    report = verify_bundle(find_bundle_folder(None))
    assert report.runtimes == ("onnx", "torch")
    assert report.notes == ()
    assert report.size_bytes < MAX_BYTES


def test_its_runtimes_agree(encoder: BundleEncoder) -> None:
    torch = models.load_bundle(device="cpu", runtime="torch", threads=1)
    texts = ["calm solo piano", "langsame Orgelmusik in einer Kirche", "激しいロック", "techno"]
    clips = sample_clips(4)
    for left, right in (
        (encoder.embed_text(texts), torch.embed_text(texts)),
        (encoder.embed_clips(clips), torch.embed_clips(clips)),
    ):
        assert np.sum(left * right, axis=1).min() > 0.9999


def test_it_gives_relevance_and_probabilities(encoder: BundleEncoder) -> None:
    assert len(encoder.reference) >= 1000
    low, high = encoder.tag_probability(0.01), encoder.tag_probability(0.9999)
    assert low is not None
    assert high is not None
    assert low < high


def test_it_reads_several_languages(encoder: BundleEncoder) -> None:
    """A translation lies nearer to its original than another description does."""
    english = encoder.embed_text(["sad piano music", "fast heavy metal"])
    for piano, metal in (
        ("traurige Klaviermusik", "schneller Heavy Metal"),
        ("musique de piano triste", "heavy metal rapide"),
        ("música de piano triste", "heavy metal rápido"),
    ):
        cosines = encoder.embed_text([piano, metal]) @ english.T
        assert cosines[0, 0] > cosines[0, 1]
        assert cosines[1, 1] > cosines[1, 0]


def test_its_card_gives_measured_numbers() -> None:
    card = (find_bundle_folder(None) / CARD_FILE).read_text(encoding="utf-8")
    assert "## Held-out results" in card
    assert "None were given" not in card
