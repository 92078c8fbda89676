"""What every vector index offers, whatever engine is behind it.

Legend: N vectors, E embedding width, Q queries, K hits a query.

An index is a projection of a truth kept elsewhere: it holds ids and vectors only, of one model
only, and remembers the number of the last change that it has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from indexer.errors import InvalidVectors

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

NO_ID = -1
# Vectors are unit length, or shorter where they are means of unit vectors. float16 rounds.
_MAX_NORM = 1.02


@dataclass(frozen=True, eq=False)
class SearchHits:
    """Hits of Q queries, best first: ids [Q, K] and inner products [Q, K].

    Places without a hit hold NO_ID and -inf. Equal scores are ordered by id. `approximate` says
    that better vectors may have been missed.
    """

    ids: Ids
    scores: Vectors
    approximate: bool


class VectorIndex(Protocol):
    """A set of vectors by id, searched by inner product. Every method is safe from any thread."""

    @property
    def model_id(self) -> str:
        """Identity of the model that made the vectors."""
        ...

    @property
    def dim(self) -> int:
        """Width E of the vectors."""
        ...

    @property
    def applied_seq(self) -> int:
        """Number of the last change applied; 0 before the first."""
        ...

    @property
    def count(self) -> int:
        """Number of vectors held."""
        ...

    def update(self, *, remove: Ids, ids: Ids, vectors: Vectors, seq: int | None = None) -> bool:
        """Remove ids, then add or replace ids [N] by vectors [N, E], as one change.

        Readers see all of it or nothing. With a `seq` that is not above `applied_seq` the change
        has been applied before, and nothing happens (returns False). Without one the change is a
        repair, which leaves `applied_seq` alone. Unknown ids to remove are ignored. Raises
        InvalidVectors before anything changes.
        """
        ...

    def upsert(self, ids: Ids, vectors: Vectors, seq: int | None = None) -> bool:
        """Add or replace vectors [N, E]; see `update`."""
        ...

    def remove(self, ids: Ids, seq: int | None = None) -> bool:
        """Remove vectors; see `update`."""
        ...

    def search(self, queries: Vectors, k: int, subset: Ids | None = None) -> SearchHits:
        """The best `k` for queries [Q, E]; among `subset` only, where one is given.

        Ids of the subset that are not in the index are ignored. Raises InvalidVectors.
        """
        ...

    def ids(self) -> Ids:
        """All ids [N], ascending."""
        ...

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Which of these ids are held."""
        ...

    def vectors(self, ids: Ids) -> Vectors:
        """The vectors [N, E] of these ids, as stored; raises UnknownIds."""
        ...


def no_ids() -> Ids:
    """An empty array of ids."""
    return np.empty(0, dtype=np.int64)


def no_vectors(dim: int) -> Vectors:
    """An empty array of vectors [0, dim]."""
    return np.empty((0, dim), dtype=np.float32)


def checked_ids(ids: npt.ArrayLike) -> Ids:
    """Ids as int64 [N]; raises InvalidVectors when one is negative or repeated."""
    raw = np.asarray(ids)
    if raw.ndim != 1 or (raw.size and raw.dtype.kind not in "iu"):
        raise InvalidVectors("ids must be a one-dimensional array of integers")
    array = np.ascontiguousarray(raw, dtype=np.int64)
    if array.size and array.min() < 0:
        raise InvalidVectors("ids must not be negative")
    if np.unique(array).size != array.size:
        raise InvalidVectors("an id is given twice")
    return array


def checked_rows(vectors: npt.ArrayLike, dim: int) -> Vectors:
    """Vectors as finite float32 [N, dim]; raises InvalidVectors."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise InvalidVectors(f"vectors must have the shape [N, {dim}]")
    if not np.isfinite(array).all():
        raise InvalidVectors("vectors must be finite")
    return array


def checked_vectors(vectors: npt.ArrayLike, dim: int, count: int) -> Vectors:
    """Vectors to be stored, [count, dim], unit length or shorter; raises InvalidVectors."""
    array = checked_rows(vectors, dim)
    if array.shape[0] != count:
        raise InvalidVectors("there must be as many vectors as ids")
    if array.size and np.linalg.norm(array, axis=1).max() > _MAX_NORM:
        raise InvalidVectors("vectors must not be longer than 1")
    return array
