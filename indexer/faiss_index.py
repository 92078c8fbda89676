"""The default vector index: FAISS in this process. The one file that imports FAISS.

Legend: N vectors, E embedding width, Q queries, K hits a query.

Up to `exact_below` vectors the index is flat: every search scores every vector, in float16 codes
that hold what SQL holds. Above, vectors are sorted into cells (IVF) of which a search reads a few.
HNSW is not used: it cannot remove, and behind a filter of 1 % it finds a third of the hits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import faiss
import numpy as np
import numpy.typing as npt

from indexer.base import (
    NO_ID,
    Ids,
    SearchHits,
    Vectors,
    checked_ids,
    checked_rows,
    checked_vectors,
    no_ids,
    no_vectors,
)
from indexer.errors import InvalidVectors, UnknownIds
from indexer.locks import ReadWriteLock
from indexer.ranking import order_hits, rank_exactly

# FAISS's type hints lack many of its classes and arguments.
_untyped: Any = faiss

_CHUNK = 8_192
# Fetching one vector by its id costs as much as testing this many ids against a filter.
_SCAN_PER_LOOKUP = 400
# From this share of all vectors on, searching all of them and leaving out what a filter refuses
# costs less than testing each of them against it.
_WIDE_SHARE = 1 / 8
_WIDE_MARGIN = 2
# Cells grow with the square root of the count, and each needs this many vectors to be placed by.
_CELLS_PER_ROOT = 4
_TRAINING_PER_CELL = 50
_LEAST_PER_CELL = 40


@dataclass(frozen=True)
class FaissConfig:
    """How vectors are stored and searched.

    `exact_below`: vectors up to which the index is flat. `exact_subset`: a filter that leaves no
    more vectors than this has each of them scored, whatever the index. `cells_probed`: cells that
    an unfiltered search of a large index reads. `threads`: of one search; None leaves it to OpenMP.
    """

    storage: Literal["fp16", "fp32"] = "fp16"
    exact_below: int = 200_000
    exact_subset: int = 20_000
    cells_probed: int = 32
    threads: int | None = None


@dataclass(frozen=True)
class WrittenIndex:
    """What a written file holds, read together with it."""

    seq: int
    count: int


class FaissIndex:
    """A VectorIndex in memory; see `indexer.base.VectorIndex` for its contract."""

    def __init__(self, *, model_id: str, dim: int, config: FaissConfig | None = None) -> None:
        """An empty, flat index."""
        self._config = config or FaissConfig()
        self._model_id = model_id
        self._dim = dim
        self._lock = ReadWriteLock()
        self._faiss: Any = _make_flat(dim, self._config)
        self._held: set[int] = set()
        self._applied_seq = 0

    @classmethod
    def build(
        cls,
        batches: Iterable[tuple[Ids, Vectors]],
        *,
        model_id: str,
        dim: int,
        seq: int,
        config: FaissConfig | None = None,
    ) -> Self:
        """An index of all (ids [N], vectors [N, E]) batches, of the kind that their number asks.

        `seq` is the change number that the batches are the state of. Raises InvalidVectors.
        """
        index = cls(model_id=model_id, dim=dim, config=config)
        for ids, vectors in batches:
            index.upsert(ids, vectors)
        index._applied_seq = seq
        if index.count > index._config.exact_below:
            index._sort_into_cells()
        return index

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def applied_seq(self) -> int:
        return self._applied_seq

    @property
    def count(self) -> int:
        return len(self._held)

    @property
    def kind(self) -> Literal["flat", "ivf"]:
        """flat: exact. ivf: cells, approximate."""
        return "ivf" if isinstance(self._faiss, faiss.IndexIVF) else "flat"

    @property
    def needs_rebuild(self) -> bool:
        """Whether the number of vectors has left the range that this kind is good for."""
        if self.kind == "flat":
            return self.count > self._config.exact_below
        has_shrunk = self.count < self._config.exact_below // 2
        return has_shrunk or _cell_count(self.count) > 2 * self._faiss.nlist

    def update(self, *, remove: Ids, ids: Ids, vectors: Vectors, seq: int | None = None) -> bool:
        remove, ids = checked_ids(remove), checked_ids(ids)
        vectors = checked_vectors(vectors, self._dim, ids.size)
        with self._lock.writing():
            if seq is not None and seq <= self._applied_seq:
                return False
            self._drop(self._known(np.union1d(remove, ids)))
            if ids.size:
                self._faiss.add_with_ids(vectors, ids)
                self._held.update(ids.tolist())
            # Last: a change that failed half-way is applied again, which sets it right.
            if seq is not None:
                self._applied_seq = seq
            return True

    def upsert(self, ids: Ids, vectors: Vectors, seq: int | None = None) -> bool:
        return self.update(remove=no_ids(), ids=ids, vectors=vectors, seq=seq)

    def remove(self, ids: Ids, seq: int | None = None) -> bool:
        return self.update(remove=ids, ids=no_ids(), vectors=no_vectors(self._dim), seq=seq)

    def search(self, queries: Vectors, k: int, subset: Ids | None = None) -> SearchHits:
        queries = checked_rows(queries, self._dim)
        if k < 1:
            raise InvalidVectors("k must be at least 1")
        wanted = None if subset is None else _ascending(subset)
        with self._lock.reading():
            self._set_threads()
            if wanted is None:
                return self._search_all(queries, k)
            return self._search_subset(queries, k, wanted)

    def ids(self) -> Ids:
        with self._lock.reading():
            return np.sort(np.fromiter(self._held, dtype=np.int64, count=len(self._held)))

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        wanted = np.asarray(ids, dtype=np.int64)
        with self._lock.reading():
            held = (one in self._held for one in wanted.tolist())
            return np.fromiter(held, dtype=np.bool_, count=wanted.size)

    def vectors(self, ids: Ids) -> Vectors:
        wanted = np.ascontiguousarray(ids, dtype=np.int64)
        with self._lock.reading():
            # Checked here: FAISS ends the process when an id is missing in a parallel loop.
            if not self._held.issuperset(wanted.tolist()):
                raise UnknownIds("an id is not in the index")
            return self._reconstruct(wanted)

    def write(self, path: Path) -> WrittenIndex:
        """Write everything to a file; returns what exactly went into it. Raises OSError."""
        with self._lock.reading():
            try:
                faiss.write_index(self._faiss, str(path))
            except RuntimeError as error:
                raise OSError("the index could not be written") from error
            return WrittenIndex(seq=self._applied_seq, count=self.count)

    @classmethod
    def read(
        cls, path: Path, *, model_id: str, dim: int, seq: int, config: FaissConfig | None = None
    ) -> Self:
        """An index from a file that `write` made and whose checksum was verified.

        Raises ValueError when the file holds no index of this shape. FAISS does not survive every
        damaged file, hence the checksum.
        """
        index = cls(model_id=model_id, dim=dim, config=config)
        try:
            loaded: Any = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError("not a readable index") from error
        is_ours = isinstance(loaded, faiss.IndexIDMap2 | faiss.IndexIVF)
        if not is_ours or loaded.d != dim or loaded.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise ValueError("not an index of this shape")
        index._faiss = loaded
        index._held = set(_stored_ids(loaded).tolist())
        index._applied_seq = seq
        return index

    def _known(self, ids: Ids) -> Ids:
        known = [one for one in ids.tolist() if one in self._held]
        return np.array(known, dtype=np.int64)

    def _drop(self, known: Ids) -> None:
        if not known.size:
            return
        # An IVF with a hash map from id to place takes an array only; a flat one scans its ids,
        # for which the hashed selector is made.
        is_cells = isinstance(self._faiss, faiss.IndexIVF)
        selector = faiss.IDSelectorArray(known) if is_cells else faiss.IDSelectorBatch(known)
        self._faiss.remove_ids(selector)
        self._held.difference_update(known.tolist())

    def _search_all(self, queries: Vectors, k: int) -> SearchHits:
        if not self._held:
            hits = rank_exactly(queries, no_ids(), no_vectors(self._dim), k)
            return SearchHits(*hits, approximate=False)
        if self.kind == "flat":
            scores, ids = self._faiss.search(queries, k)
            return SearchHits(*order_hits(ids, scores), approximate=False)
        return self._search_cells(queries, k, self._config.cells_probed, selector=None)

    def _search_subset(self, queries: Vectors, k: int, wanted: Ids) -> SearchHits:
        if wanted.size * _SCAN_PER_LOOKUP <= self.count:
            known = self._known(wanted)
            hits = rank_exactly(queries, known, self._reconstruct(known), k)
            return SearchHits(*hits, approximate=False)
        if wanted.size >= self.count * _WIDE_SHARE:
            found = self._search_widely(queries, k, wanted)
            if found is not None:
                return found
        selector = faiss.IDSelectorBatch(wanted)
        if self.kind == "flat":
            params = _untyped.SearchParameters(sel=selector)
            scores, ids = self._faiss.search(queries, k, params=params)
            return SearchHits(*order_hits(ids, scores), approximate=False)
        if wanted.size <= self._config.exact_subset:
            return self._search_cells(queries, k, self._faiss.nlist, selector)
        # A filter thins each cell out; more cells make up for it.
        probed = self._config.cells_probed * -(-self.count // wanted.size)
        return self._search_cells(queries, k, probed, selector)

    def _search_widely(self, queries: Vectors, k: int, wanted: Ids) -> SearchHits | None:
        """The best of all vectors that are wanted; None where more of them might be."""
        if k > wanted.size:
            return None
        most = min(math.ceil(_WIDE_MARGIN * k * self.count / wanted.size), self.count)
        hits = self._search_all(queries, most)
        places = np.minimum(np.searchsorted(wanted, hits.ids), wanted.size - 1)
        passes = wanted[places] == hits.ids
        if passes.sum(axis=1).min() < k:
            return None
        best = np.argsort(~passes, axis=1, kind="stable")[:, :k]
        ids = np.take_along_axis(hits.ids, best, axis=1)
        scores = np.take_along_axis(hits.scores, best, axis=1)
        return SearchHits(ids, scores, hits.approximate)

    def _search_cells(
        self, queries: Vectors, k: int, probed: int, selector: Any | None
    ) -> SearchHits:
        probed = min(probed, self._faiss.nlist)
        params = _untyped.SearchParametersIVF(nprobe=probed, sel=selector)
        scores, ids = self._faiss.search(queries, k, params=params)
        if probed < self._faiss.nlist and (ids == NO_ID).any():
            # The cells that were read held too few; callers take a gap for the end of the list.
            return self._search_cells(queries, k, self._faiss.nlist, selector)
        return SearchHits(*order_hits(ids, scores), approximate=probed < self._faiss.nlist)

    def _reconstruct(self, known: Ids) -> Vectors:
        if not known.size:
            return no_vectors(self._dim)
        vectors: Vectors = self._faiss.reconstruct_batch(known)
        return vectors

    def _set_threads(self) -> None:
        # OpenMP keeps this number per calling thread.
        if self._config.threads is not None:
            faiss.omp_set_num_threads(self._config.threads)

    def _sort_into_cells(self) -> None:
        """Turn a flat index into cells; only while nobody else has it."""
        ids = self.ids()
        cells = _make_cells(self._dim, ids.size, self._config)
        sample_size = min(ids.size, cells.nlist * _TRAINING_PER_CELL)
        sample = np.random.default_rng(0).choice(ids, sample_size, replace=False)
        cells.train(self._reconstruct(np.sort(sample)))
        cells.set_direct_map_type(_untyped.DirectMap.Hashtable)
        for start in range(0, ids.size, _CHUNK):
            chunk = ids[start : start + _CHUNK]
            cells.add_with_ids(self._reconstruct(chunk), chunk)
        self._faiss = cells


def _ascending(ids: Ids) -> Ids:
    array = np.asarray(ids, dtype=np.int64)
    # Most come in order: to see that takes a hundredth of the time of sorting them.
    return array if bool((array[1:] > array[:-1]).all()) else np.unique(array)


def _make_flat(dim: int, config: FaissConfig) -> Any:
    if config.storage == "fp32":
        return faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
    codes = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    return faiss.IndexIDMap2(codes)


def _cell_count(count: int) -> int:
    return max(1, min(round(_CELLS_PER_ROOT * math.sqrt(count)), count // _LEAST_PER_CELL))


def _make_cells(dim: int, count: int, config: FaissConfig) -> Any:
    cells, metric = _cell_count(count), faiss.METRIC_INNER_PRODUCT
    index: Any
    if config.storage == "fp32":
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, metric)
    else:
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, cells, faiss.ScalarQuantizer.QT_fp16, metric, False
        )
    index.cp.spherical = True
    index.cp.seed = 1
    return index


def _stored_ids(index: Any) -> Ids:
    if isinstance(index, faiss.IndexIDMap2):
        flat: Ids = faiss.vector_to_array(index.id_map)
        return flat
    lists = index.invlists
    sizes = [lists.list_size(i) for i in range(index.nlist)]
    parts = [faiss.rev_swig_ptr(lists.get_ids(i), n).copy() for i, n in enumerate(sizes) if n]
    return np.concatenate([no_ids(), *parts])
