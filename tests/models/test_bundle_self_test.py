"""The self-test must fail where a model is not what it was saved as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import models
from models.bundle.encoder import BundleEncoder
from models.bundle.golden import (
    GOLDEN_TEXTS,
    Golden,
    golden_clip,
    golden_from_bytes,
    golden_to_bytes,
)
from models.bundle.self_test import require_cosine, run_self_test
from models.errors import BundleFormatError, BundleSelfTestError

TINY = Path(__file__).parent.parent / "data" / "tiny_bundle"
GOLDEN_POWER = 0.0029060195
GOLDEN_PROBE = 11.5095890475


@pytest.fixture(scope="module")
def encoder() -> BundleEncoder:
    return models.load_bundle(TINY, device="cpu", runtime="onnx", threads=1)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return golden_from_bytes((TINY / "golden.npz").read_bytes())


class Spoilt:
    """An encoder whose vectors pass through `spoil` on their way out."""

    def __init__(self, encoder: BundleEncoder, kind: str) -> None:
        self._encoder, self._kind = encoder, kind

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def embed_text(self, texts: list[str]) -> np.ndarray:
        vectors = self._encoder.embed_text(texts)
        if self._kind == "collapsed":
            vectors[:] = vectors[:1]
        if self._kind == "batch dependent" and len(texts) > 1:
            vectors = np.roll(vectors, 1, axis=0)
        return self._spoil(vectors)

    def embed_clips(self, clips: np.ndarray) -> np.ndarray:
        return self._spoil(self._encoder.embed_clips(clips))

    def _spoil(self, vectors: np.ndarray) -> np.ndarray:
        if self._kind == "not finite":
            vectors[0, 0] = np.nan
        if self._kind == "not unit":
            vectors *= 1.1
        if self._kind == "too short":
            vectors = vectors[:, 1:]
        if self._kind == "negated":
            vectors = -vectors
        return vectors


def test_a_sound_bundle_passes(encoder: BundleEncoder, golden: Golden) -> None:
    run_self_test(encoder, golden, reduced_precision=False)
    run_self_test(encoder, None, reduced_precision=False)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("collapsed", "collapsed"),
        ("batch dependent", "alone and in a batch"),
        ("not finite", "not finite"),
        ("not unit", "unit norm"),
        ("too short", "values"),
        ("negated", "golden"),
    ],
)
def test_a_spoilt_one_fails(
    encoder: BundleEncoder, golden: Golden, kind: str, message: str
) -> None:
    with pytest.raises(BundleSelfTestError, match=message):
        run_self_test(Spoilt(encoder, kind), golden, reduced_precision=False)  # type: ignore[arg-type]


def test_golden_vectors_of_another_model_fail(encoder: BundleEncoder, golden: Golden) -> None:
    clips, texts = golden.clips, golden.text_vectors
    for other in (
        Golden(np.roll(clips, 1, axis=1), golden.texts, texts),
        Golden(clips, golden.texts, texts[::-1]),
        Golden(clips[:, :-1], golden.texts, texts),
        Golden(clips, golden.texts, texts * np.nan),
    ):
        with pytest.raises(BundleSelfTestError):
            run_self_test(encoder, other, reduced_precision=True)


def test_a_nan_never_passes_a_comparison() -> None:
    vectors = np.full((1, 4), np.nan, np.float32)
    with pytest.raises(BundleSelfTestError):
        require_cosine("nothing", vectors, vectors, 0.5)


def test_golden_vectors_survive_a_round_trip(golden: Golden) -> None:
    again = golden_from_bytes(golden_to_bytes(golden))
    assert again.texts == golden.texts == GOLDEN_TEXTS
    assert np.array_equal(again.clips, golden.clips)
    assert np.array_equal(again.text_vectors, golden.text_vectors)


def test_pickled_and_broken_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    vectors = np.zeros((1, 4), np.float32)
    np.savez(path, clips=vectors, texts=np.array([{"a": 1}], object), text_vectors=vectors)
    for content in (path.read_bytes(), b"", b"not a zip", path.read_bytes()[:-30]):
        with pytest.raises(BundleFormatError, match=r"golden\.npz"):
            golden_from_bytes(content)


def test_the_golden_clip_is_pinned() -> None:
    """Bundles hold the vectors of exactly this signal: it must never change."""
    clip = golden_clip(240_000, 24_000).astype(np.float64)
    assert clip.shape == (240_000,)
    assert np.abs(clip).max() < 1
    assert np.square(clip).mean() == pytest.approx(GOLDEN_POWER, rel=1e-6)
    assert clip[1::4999] @ np.arange(clip[1::4999].size) == pytest.approx(GOLDEN_PROBE, rel=1e-4)
