"""`reference.npz`: the vectors of reference clips against which relevance is measured.

Legend: R reference clips, E embedding width.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.bundle.golden import load_arrays
from models.errors import BundleFormatError

Vectors = NDArray[np.float32]


def build_reference(vectors: Iterable[Vectors], *, limit: int = 4096) -> Vectors:
    """A reference [R, E] from the clip vectors [n, E] of each of many tracks.

    Each track gives the same share, its clips being picked evenly, so that long tracks do not
    crowd out short ones; at most `limit` clips in all. Raises ValueError where there are none.
    """
    tracks = [track for track in vectors if track.shape[0] > 0]
    if not tracks:
        raise ValueError("a reference needs at least one clip")
    per_track = max(1, limit // len(tracks))
    picked = [track[_evenly(track.shape[0], per_track)] for track in tracks]
    joined = np.concatenate(picked)
    return np.asarray(joined[_evenly(joined.shape[0], limit)], dtype=np.float32)


def reference_to_bytes(reference: Vectors) -> bytes:
    """`reference.npz` as stored: float16, which moves a score by less than a thousandth."""
    target = io.BytesIO()
    np.savez_compressed(target, vectors=reference.astype(np.float16))
    return target.getvalue()


def reference_from_bytes(content: bytes, embed_dim: int) -> Vectors:
    """Unit vectors [R, E] in float32; BundleFormatError for another width or broken values."""
    stored = load_arrays(content, "reference.npz", ("vectors",))["vectors"]
    if stored.ndim != 2 or stored.shape[1] != embed_dim or stored.dtype.kind != "f":
        raise BundleFormatError(f"reference.npz does not hold vectors of {embed_dim} values")
    vectors = stored.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise BundleFormatError("reference.npz holds a vector that is zero or not finite")
    return np.asarray(vectors / norms, dtype=np.float32)


def _evenly(count: int, wanted: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.intp))
