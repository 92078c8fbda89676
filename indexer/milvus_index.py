"""The distributed vector index: one Milvus collection, shared by all processes.

The one file that imports pymilvus. Legend: N vectors, E embedding width, Q queries, K hits a query.

Differences from the index in memory, which callers must know:
- All processes see one index. Two that apply changes at once may leave the older state behind, so
  one at a time may call `update` (service/index_sync/shared.py holds a lock in SQL for that).
- A reader may see a part of a change.
- `search` has bounded staleness (Milvus' own default, up to 5 s behind): to wait for the newest
  state costs each search a tick of its clock, 0.2 s. What maintains the index reads the newest.
- `applied_seq` is a property of the collection, written after Milvus has acknowledged the data
  (which it logs first), so that it lives and dies with them; a kill in between repeats a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import numpy as np
import numpy.typing as npt
from pymilvus import (
    DataType,
    MilvusClient,
)
from pymilvus.exceptions import (
    MilvusException,
)

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
from indexer.errors import EngineUnavailable, InvalidVectors, UnknownIds
from indexer.ranking import order_hits, rank_exactly

MAX_HITS = 16_384
"""Milvus gives no more to one query; asked for more, `search` gives these."""

_SEQ = "muquery.applied_seq"
_MODEL = "muquery.model_id"
_NEWEST, _BOUNDED = "Strong", "Bounded"
_GRAPH = {"M": 16, "efConstruction": 200}
_LEAST_EF = 128
_MOST_EF = 32_768
_WRITE_ROWS = 2_048  # 4 MB at 512 dimensions; messages may have 64 MB
_READ_ROWS = 2_048
_RANGES = 256  # in one filter
_WIDER = 16  # times as many hits, of which a filter that lets many vectors through leaves enough


@dataclass(frozen=True)
class MilvusConfig:
    """How to reach Milvus; `token` is "user:password" or a key.

    `exact_subset`: a filter that leaves no more vectors than this has each of them scored.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 10.0
    exact_subset: int = 20_000


class MilvusIndex:
    """A VectorIndex in Milvus; see `indexer.base.VectorIndex` and the top of this file."""

    def __init__(
        self, client: Any, collection: str, *, model_id: str, dim: int, config: MilvusConfig
    ) -> None:
        self._client = client
        self._collection = collection
        self._model_id = model_id
        self._dim = dim
        self._config = config

    @classmethod
    def open(cls, config: MilvusConfig, *, kind: str, model_id: str, dim: int) -> Self:
        """The collection of this kind and model, made where it does not exist, and loaded.

        Raises EngineUnavailable, and ValueError when the collection holds something else.
        """
        collection = collection_name(kind, model_id)
        with _failures_said():
            client = MilvusClient(
                uri=config.url, token=config.token or "", timeout=config.timeout_s
            )
            index = cls(client, collection, model_id=model_id, dim=dim, config=config)
            index._prepare()
        return index

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def applied_seq(self) -> int:
        """Asked from Milvus, because other processes apply changes; raises EngineUnavailable."""
        return int(self._properties()[_SEQ])

    @property
    def count(self) -> int:
        """Asked from Milvus; raises EngineUnavailable."""
        (row,) = self._query("", "count(*)")
        return int(row["count(*)"])

    def update(self, *, remove: Ids, ids: Ids, vectors: Vectors, seq: int | None = None) -> bool:
        remove, ids = checked_ids(remove), checked_ids(ids)
        vectors = checked_vectors(vectors, self._dim, ids.size)
        if seq is not None and seq <= self.applied_seq:
            return False
        gone = np.setdiff1d(remove, ids)
        with _failures_said():
            for part in _slices(ids.size, _WRITE_ROWS):
                pairs = zip(ids[part].tolist(), vectors[part], strict=True)
                self._client.upsert(
                    self._collection,
                    [{"id": one, "vector": vector} for one, vector in pairs],
                    timeout=self._config.timeout_s,
                )
            for part in _slices(gone.size, _WRITE_ROWS):
                self._client.delete(
                    self._collection, ids=gone[part].tolist(), timeout=self._config.timeout_s
                )
        # Last: a change that failed half-way is applied again, which sets it right.
        if seq is not None:
            self.mark_applied(seq)
        return True

    def mark_applied(self, seq: int) -> None:
        """Say which change the index is the state of; lower than before only after a repair."""
        with _failures_said():
            self._client.alter_collection_properties(
                self._collection, {_SEQ: str(seq)}, timeout=self._config.timeout_s
            )

    def upsert(self, ids: Ids, vectors: Vectors, seq: int | None = None) -> bool:
        return self.update(remove=no_ids(), ids=ids, vectors=vectors, seq=seq)

    def remove(self, ids: Ids, seq: int | None = None) -> bool:
        return self.update(remove=ids, ids=no_ids(), vectors=no_vectors(self._dim), seq=seq)

    def search(self, queries: Vectors, k: int, subset: Ids | None = None) -> SearchHits:
        queries = checked_rows(queries, self._dim)
        if k < 1:
            raise InvalidVectors("k must be at least 1")
        if subset is None:
            return SearchHits(*self._search(queries, k), approximate=True)
        wanted = np.unique(np.asarray(subset, dtype=np.int64))
        if wanted.size <= self._config.exact_subset:
            hits = rank_exactly(queries, *self._fetch(wanted), k)
            return SearchHits(*hits, approximate=False)
        found = self._search_widely(queries, k, wanted)
        ids, scores = self._search_parts(queries, k, wanted) if found is None else found
        return SearchHits(ids, scores, approximate=True)

    def ids(self) -> Ids:
        parts, last = [no_ids()], -1
        while True:
            # With a limit Milvus gives the lowest keys that pass; its own iterators rely on it.
            rows = self._query(f"id > {last}", "id", limit=MAX_HITS)
            parts.append(np.sort(_ids_of(rows)))
            if len(rows) < MAX_HITS:
                return np.concatenate(parts)
            last = int(parts[-1][-1])

    def ids_between(self, ranges: Sequence[tuple[int, int]]) -> Ids:
        """All ids [N] that lie in one of these ranges (first, stop), ascending."""
        parts = [no_ids()]
        for part in _slices(len(ranges), _RANGES):
            tests = (f"({first} <= id < {stop})" for first, stop in ranges[part])
            parts.append(_ids_of(self._query(" or ".join(tests), "id")))
        return np.unique(np.concatenate(parts))

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        wanted = np.asarray(ids, dtype=np.int64)
        held = [no_ids()]
        for part in _slices(wanted.size, _READ_ROWS):
            held.append(_ids_of(self._query(_among(wanted[part]), "id")))
        return np.isin(wanted, np.concatenate(held))

    def vectors(self, ids: Ids) -> Vectors:
        wanted = np.asarray(ids, dtype=np.int64)
        held, vectors = self._fetch(np.unique(wanted))
        if not np.isin(wanted, held).all():
            raise UnknownIds("an id is not in the index")
        found: Vectors = vectors[np.searchsorted(held, wanted)]
        return found

    def drop(self) -> None:
        """Remove the collection with all it holds; raises EngineUnavailable."""
        with _failures_said():
            self._client.drop_collection(self._collection, timeout=self._config.timeout_s)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _prepare(self) -> None:
        """Every step may be repeated, and may race with another process that does the same."""
        client, name, timeout_s = self._client, self._collection, self._config.timeout_s
        if not client.has_collection(name, timeout=timeout_s):
            try:
                self._create()
            except MilvusException:
                if not client.has_collection(name, timeout=timeout_s):
                    raise
        found = client.describe_collection(name, timeout=timeout_s)
        widths = [part["params"].get("dim") for part in found["fields"] if part["name"] == "vector"]
        properties = found["properties"]
        if [str(width) for width in widths] != [str(self._dim)]:
            raise ValueError(f"the collection {name} was not made for such vectors")
        if properties.get(_MODEL) != self._model_id:
            raise ValueError(f"the collection {name} belongs to another model")
        if _SEQ not in properties:
            # Set apart from creation, to see here that this server lets it be changed later.
            self.mark_applied(0)
            if _SEQ not in self._properties():
                raise ValueError("this server does not keep properties of collections")
        if not client.list_indexes(name, field_name="vector"):
            params = client.prepare_index_params()
            params.add_index("vector", index_type="HNSW", metric_type="IP", params=_GRAPH)
            client.create_index(name, params)
        client.load_collection(name)

    def _create(self) -> None:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dim)
        self._client.create_collection(
            self._collection,
            schema=schema,
            consistency_level=_BOUNDED,
            properties={_MODEL: self._model_id},
            timeout=self._config.timeout_s,
        )

    def _properties(self) -> dict[str, str]:
        with _failures_said():
            found = self._client.describe_collection(
                self._collection, timeout=self._config.timeout_s
            )
        properties: dict[str, str] = found["properties"]
        return properties

    def _query(self, expression: str, wanted: str, limit: int | None = None) -> list[Any]:
        with _failures_said():
            rows = self._client.query(
                self._collection,
                filter=expression,
                output_fields=["id", "vector"] if wanted == "vector" else [wanted],
                consistency_level=_NEWEST,
                timeout=self._config.timeout_s,
                **({} if limit is None else {"limit": limit}),
            )
        return list(rows)

    def _fetch(self, wanted: Ids) -> tuple[Ids, Vectors]:
        """Those ids [N] of an ascending array that are held, and their vectors [N, E]."""
        held, vectors = [no_ids()], [no_vectors(self._dim)]
        for part in _slices(wanted.size, _READ_ROWS):
            rows = self._query(_among(wanted[part]), "vector")
            ids = _ids_of(rows)
            order = np.argsort(ids)
            stacked = np.array([row["vector"] for row in rows], dtype=np.float32)
            held.append(ids[order])
            vectors.append(stacked.reshape(-1, self._dim)[order])
        return np.concatenate(held), np.concatenate(vectors)

    def _search(self, queries: Vectors, k: int, expression: str = "") -> tuple[Ids, Vectors]:
        limit = min(k, MAX_HITS)
        with _failures_said():
            found = self._client.search(
                self._collection,
                data=list(queries),
                limit=limit,
                filter=expression,
                search_params={"params": {"ef": min(max(2 * limit, _LEAST_EF), _MOST_EF)}},
                consistency_level=_BOUNDED,
                timeout=self._config.timeout_s,
            )
        ids = np.full((len(queries), k), NO_ID, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for row, hits in enumerate(found):
            ids[row, : len(hits)] = [hit["id"] for hit in hits]
            scores[row, : len(hits)] = [hit["distance"] for hit in hits]
        return order_hits(ids, scores)

    def _search_widely(self, queries: Vectors, k: int, wanted: Ids) -> tuple[Ids, Vectors] | None:
        """The best of all vectors that are wanted; None where more of them might be.

        One search instead of one for each part of a filter, which may let millions through.
        """
        ids, scores = self._search(queries, min(_WIDER * k, MAX_HITS))
        passes = np.isin(ids, wanted)
        if passes.sum(axis=1).min() < k:
            return None
        best = np.argsort(~passes, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(ids, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def _search_parts(self, queries: Vectors, k: int, wanted: Ids) -> tuple[Ids, Vectors]:
        """Filters of a size that Milvus takes, one after another; the best of all of them."""
        parts = [
            self._search(queries, k, _among(wanted[part]))
            for part in _slices(wanted.size, self._config.exact_subset)
        ]
        ids, scores = order_hits(
            np.concatenate([ids for ids, _ in parts], axis=1),
            np.concatenate([scores for _, scores in parts], axis=1),
        )
        return ids[:, :k], scores[:, :k]


def collection_name(kind: str, model_id: str) -> str:
    """Names may hold letters, digits and underscores only, so the model's id is hashed."""
    return f"muquery_{kind}_{hashlib.sha256(model_id.encode()).hexdigest()[:24]}"


def _among(ids: Ids) -> str:
    return f"id in {ids.tolist()}"


def _ids_of(rows: Sequence[Any]) -> Ids:
    return np.fromiter((row["id"] for row in rows), dtype=np.int64, count=len(rows))


def _slices(size: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, size, step))


@contextmanager
def _failures_said() -> Iterator[None]:
    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        raise EngineUnavailable("Milvus does not answer, or not as expected") from error
