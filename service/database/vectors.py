"""Vectors as SQL keeps them: float16, little-endian, 1 KB at width 512.

Legend: N vectors, E embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STORED = np.dtype("<f2")
_MAX_NORM = 1.01


def pack_vectors(vectors: NDArray[np.floating[Any]]) -> list[bytes]:
    """[N, E] -> N values; raises ValueError for what no index would take.

    Vectors must be finite and of unit length, or shorter where they are means of such.
    """
    rows = vectors.astype(STORED)
    norms = np.linalg.norm(rows.astype(np.float32), axis=1)
    if not (norms <= _MAX_NORM).all():  # false for NaN, too
        raise ValueError("a vector is not finite or longer than 1")
    return [row.tobytes() for row in rows]


def unpack_vectors(values: Sequence[bytes], embed_dim: int) -> NDArray[np.float32]:
    """N values -> [N, E]; raises ValueError when one has another width."""
    rows = np.frombuffer(b"".join(values), dtype=STORED)
    if any(len(value) != embed_dim * STORED.itemsize for value in values):
        raise ValueError("a stored vector has another width than the model's")
    return rows.reshape(len(values), embed_dim).astype(np.float32)
