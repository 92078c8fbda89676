"""Reference and calibration of a bundle, on the tiny one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import models
from models.bundle.disk import read_manifest
from models.bundle.encoder import BundleEncoder
from models.bundle.fitting import LabelledTrack, calibrate, label_query, reference_vectors
from models.bundle.onnx_towers import OnnxTowers
from models.interface import TrackEmbedding
from models.relevance import relevance_scale
from models.training.manifest import ManifestEntry
from models.training.mel_cache import MelCache, build_mel_cache
from tests.training.tiny_corpus import make_entry, sound, write_wav

TINY = Path(__file__).parent.parent / "data" / "tiny_bundle"
LABELS = ("calm piano", "techno", "loud metal", "sad violin")


@pytest.fixture(scope="module")
def encoder() -> BundleEncoder:
    return models.load_bundle(TINY, device="cpu", runtime="onnx", threads=1)


def labelled(encoder: BundleEncoder, strength: float, count: int = 80) -> list[LabelledTrack]:
    """Reference clips moved towards one label each; `strength` says how far."""
    tracks = []
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        mean = encoder.reference[number] + np.float32(strength) * label_query(encoder, label)
        embedding = TrackEmbedding(mean[None], mean, np.zeros(1), np.ones(1))
        tracks.append(LabelledTrack(embedding, {"genre": (label,)}))
    return tracks


def test_probabilities_follow_the_labels(encoder: BundleEncoder) -> None:
    tracks = labelled(encoder, strength=0.5)
    calibration = calibrate(encoder, tracks, facts={"fitted_on": "moved clips"})
    assert calibration.facts["pairs"] == 80 * 4
    assert calibration.facts["tracks"] == 80
    assert calibration.facts["positive_share"] == 0.25
    # Predicting the share of positives for every pair would give 0.5623.
    assert calibration.facts["log_loss"] < 0.5
    predicted = []
    for label in LABELS:
        query = label_query(encoder, label)
        scale = relevance_scale(query, encoder.reference)
        predicted += [
            calibration.probability(scale.relevance(float(query @ track.embedding.mean)))
            for track in tracks
        ]
    assert np.mean(predicted) == pytest.approx(0.25, abs=0.02)


def test_labels_without_any_sound_behind_them_are_refused(encoder: BundleEncoder) -> None:
    with pytest.raises(ValueError, match="less often right"):
        calibrate(encoder, labelled(encoder, strength=-0.3), facts={})


def test_rare_labels_and_other_kinds_are_left_out(encoder: BundleEncoder) -> None:
    tracks = labelled(encoder, strength=0.3, count=40)
    rare = LabelledTrack(tracks[0].embedding, {"genre": ("polka",), "mood": ("happy",)})
    calibration = calibrate(encoder, [*tracks, rare], facts={})
    assert calibration.facts["pairs"] == 41 * 4


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ManifestEntry], MelCache]:
    import dataclasses

    root = tmp_path_factory.mktemp("corpus")
    entries = []
    for number, duration_s in enumerate([45.0, 12.0, 4.0, 3.0, 3.0, 3.0]):
        path = root / f"{number}.wav"
        write_wav(path, sound("low" if number % 2 else "noise", duration_s, seed=number))
        source = "render: made" if number >= 2 else "some-package 1.0"
        entries.append(dataclasses.replace(make_entry(path, "low", "train"), source=source))
    build_mel_cache(entries, root, root / "mels")
    return entries, MelCache(root / "mels")


def test_a_reference_of_few_recordings_is_drawn_evenly_from_both_kinds(
    corpus: tuple[list[ManifestEntry], MelCache],
) -> None:
    entries, cache = corpus
    towers = OnnxTowers(read_manifest(TINY), TINY, device="cpu", threads=1)
    few = reference_vectors(towers, entries, cache, clip_s=10, limit=4)
    assert few.shape == (4, 32)
    many = reference_vectors(towers, entries, cache, clip_s=10, limit=100)
    # Four whole windows of the longest, one of each other track.
    assert many.shape == (4 + 1 + 4, 32)
    assert np.linalg.norm(many, axis=1) == pytest.approx(1, abs=1e-5)
    assert len(np.unique(many.round(4), axis=0)) == len(many)


def test_a_reference_of_enough_recordings_holds_no_renders(
    corpus: tuple[list[ManifestEntry], MelCache],
) -> None:
    entries, cache = corpus
    towers = OnnxTowers(read_manifest(TINY), TINY, device="cpu", threads=1)
    alone = reference_vectors(towers, entries[:2], cache, clip_s=10, limit=100)
    mixed = reference_vectors(towers, entries, cache, clip_s=10, limit=100, fewest_recordings=2)
    assert mixed.shape == (4 + 1, 32)
    np.testing.assert_array_equal(mixed, alone)
    three = reference_vectors(towers, entries, cache, clip_s=10, limit=100, fewest_recordings=3)
    assert three.shape == (4 + 1 + 4, 32)


def test_a_reference_of_nothing_is_refused(
    corpus: tuple[list[ManifestEntry], MelCache],
) -> None:
    towers = OnnxTowers(read_manifest(TINY), TINY, device="cpu", threads=1)
    with pytest.raises(ValueError, match="none of the tracks"):
        reference_vectors(towers, [], corpus[1], clip_s=10)
