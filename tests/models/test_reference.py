from __future__ import annotations

import io

import numpy as np
import pytest

from models.bundle.reference import build_reference, reference_from_bytes, reference_to_bytes
from models.errors import BundleFormatError


def unit(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_every_track_gives_the_same_share() -> None:
    long, short = unit(1000, 1), unit(5, 2)
    reference = build_reference([long, short], limit=10)
    assert reference.shape == (10, 16)
    assert sum(any(np.array_equal(row, clip) for clip in short) for row in reference) == 5


def test_more_tracks_than_clips_are_thinned_evenly() -> None:
    tracks = [np.full((3, 16), number, np.float32) for number in range(100)]
    reference = build_reference(tracks, limit=25)
    assert reference.shape == (25, 16)
    assert reference[0, 0] == 0
    assert reference[-1, 0] == 99


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        build_reference([np.empty((0, 16), np.float32)])


def test_storage_in_half_precision_hardly_moves_scores() -> None:
    vectors = unit(500)
    restored = reference_from_bytes(reference_to_bytes(vectors), 16)
    assert restored.dtype == np.float32
    assert np.linalg.norm(restored, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.abs((restored - vectors) @ unit(1, 3)[0]).max() < 1e-3


def stored(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.savez(target, vectors=array)
    return target.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        stored(np.ones((3, 8), np.float16)),
        stored(np.ones(16, np.float16)),
        stored(np.zeros((3, 16), np.float16)),
        stored(np.full((3, 16), np.nan, np.float16)),
        stored(np.ones((3, 16), np.int64)),
        stored(np.array([[{}] * 16], object)),
    ],
)
def test_files_that_are_no_reference_are_refused(content: bytes) -> None:
    with pytest.raises(BundleFormatError, match=r"reference\.npz"):
        reference_from_bytes(content, 16)
