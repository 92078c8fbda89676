"""The index in Milvus against brute force and against a server that is real."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest
from pymilvus.exceptions import MilvusException

from indexer import sync
from indexer.base import NO_ID
from indexer.errors import EngineUnavailable, InvalidVectors, UnknownIds
from indexer.milvus_index import MilvusConfig, MilvusIndex, collection_name
from indexer.sync import Change, ChangeOp
from tests.indexer.helpers import DIM, assert_hits, int64, unit_vectors, vector_of
from tests.support.milvus import MilvusServer
from tests.support.service import eventually


@pytest.fixture
def config(milvus_server: MilvusServer) -> MilvusConfig:
    return MilvusConfig(milvus_server.url)


@pytest.fixture
def index(config: MilvusConfig) -> Iterator[MilvusIndex]:
    opened = open_index(config, uuid4().hex)
    yield opened
    opened.drop()
    opened.close()


def open_index(config: MilvusConfig, model_id: str, dim: int = DIM) -> MilvusIndex:
    return MilvusIndex.open(config, kind="tests", model_id=model_id, dim=dim)


def filled(index: MilvusIndex, count: int) -> dict[int, np.ndarray]:
    stored = dict(enumerate(unit_vectors(count)))
    index.upsert(int64(*stored), np.stack(list(stored.values())), seq=1)
    assert index.count == count  # waits for the newest state, so that searches see it too
    return stored


def test_another_server_than_milvus_is_said() -> None:
    with pytest.raises(EngineUnavailable):
        open_index(MilvusConfig("http://127.0.0.1:1", token="root:secret", timeout_s=1.0), "m")
    assert "secret" not in repr(MilvusConfig("http://127.0.0.1:1", token="root:secret"))


def test_collections_are_told_apart() -> None:
    names = {collection_name(kind, model) for kind in ("a", "b") for model in ("x.1", "x-1")}
    assert len(names) == 4
    assert all(name.replace("_", "").isalnum() for name in names)


@pytest.mark.cluster
def test_an_empty_index(index: MilvusIndex) -> None:
    assert (index.count, index.applied_seq, index.ids().size) == (0, 0, 0)
    hits = index.search(unit_vectors(2), 3)
    assert (hits.ids == NO_ID).all()
    assert np.isneginf(hits.scores).all()
    assert index.contains(int64(1)).tolist() == [False]
    assert index.search(unit_vectors(1), 1, subset=int64(1, 2)).ids.tolist() == [[NO_ID]]


@pytest.mark.cluster
def test_searches_agree_with_brute_force(index: MilvusIndex) -> None:
    stored = filled(index, 300)
    queries = unit_vectors(3, seed=9)
    for k in (1, 7, 400):
        hits = index.search(queries, k)
        assert_hits(hits.ids, hits.scores, stored, queries, k)


@pytest.mark.cluster
def test_a_subset_is_scored_exactly_widely_or_in_parts(
    config: MilvusConfig, index: MilvusIndex
) -> None:
    stored = filled(index, 300)
    queries = unit_vectors(2, seed=9)
    subset = int64(*range(5, 300, 3), 1000)
    kept = {one: stored[one] for one in subset.tolist() if one in stored}
    hits = index.search(queries, 10, subset=subset)
    assert not hits.approximate
    assert_hits(hits.ids, hits.scores, kept, queries, 10)
    small = MilvusConfig(config.url, exact_subset=40)
    other = MilvusIndex.open(small, kind="tests", model_id=index.model_id, dim=DIM)
    worst_first = sorted(stored, key=lambda one: float(stored[one] @ queries[0]))
    for chosen in (subset, int64(*sorted(worst_first[:100]))):
        kept = {one: stored[one] for one in chosen.tolist() if one in stored}
        hits = other.search(queries[:1], 10, subset=chosen)
        assert hits.approximate
        assert_hits(hits.ids, hits.scores, kept, queries[:1], 10)


@pytest.mark.cluster
def test_a_change_removes_replaces_and_adds(index: MilvusIndex) -> None:
    filled(index, 10)
    vectors = np.stack([vector_of(100), vector_of(101)])
    ids = int64(3, 50)
    assert index.update(remove=int64(3, 4, 999), ids=ids, vectors=vectors, seq=2)
    assert index.ids().tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 50]
    assert index.count == 10
    assert index.contains(int64(4, 50, 3)).tolist() == [False, True, True]
    np.testing.assert_array_equal(index.vectors(int64(50, 3, 50)), vectors[[1, 0, 1]])
    with pytest.raises(UnknownIds):
        index.vectors(int64(3, 4))
    assert index.ids_between([(2, 4), (7, 8), (20, 30)]).tolist() == [2, 3, 7]
    assert index.ids_between([]).size == 0


@pytest.mark.cluster
def test_numbers_outlive_the_process_and_old_changes_do_nothing(
    config: MilvusConfig, index: MilvusIndex
) -> None:
    filled(index, 5)
    assert index.remove(int64(1), seq=7) is True
    again = open_index(config, index.model_id)
    assert again.applied_seq == 7
    assert again.remove(int64(2), seq=7) is False
    assert again.upsert(int64(2), vector_of(9)[np.newaxis]) is True, "a repair has no number"
    assert again.applied_seq == 7
    assert again.ids().tolist() == [0, 2, 3, 4]


@pytest.mark.cluster
def test_a_number_is_not_said_before_its_data_are_there(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(index, 5)

    def fail(*_: object, **__: object) -> None:
        raise MilvusException(message="lost")

    for step in ("upsert", "delete"):
        with monkeypatch.context() as patch:
            patch.setattr(index._client, step, fail)
            with pytest.raises(EngineUnavailable):
                index.update(remove=int64(1), ids=int64(9), vectors=unit_vectors(1), seq=2)
        assert index.applied_seq == 1
    assert index.update(remove=int64(1), ids=int64(9), vectors=unit_vectors(1), seq=2)
    assert index.ids().tolist() == [0, 2, 3, 4, 9]


@pytest.mark.cluster
def test_bad_vectors_change_nothing(index: MilvusIndex) -> None:
    for ids, vectors in [
        (int64(1, 1), unit_vectors(2)),
        (int64(-1), unit_vectors(1)),
        (int64(1), unit_vectors(1, dim=DIM + 1)),
        (int64(1), unit_vectors(1) * 2),
        (int64(1), np.full((1, DIM), np.nan, dtype=np.float32)),
    ]:
        with pytest.raises(InvalidVectors):
            index.upsert(ids, vectors, seq=1)
    with pytest.raises(InvalidVectors):
        index.search(unit_vectors(1), 0)
    assert (index.count, index.applied_seq) == (0, 0)


@pytest.mark.cluster
def test_a_collection_of_other_vectors_is_refused(config: MilvusConfig, index: MilvusIndex) -> None:
    with pytest.raises(ValueError, match="not made for such vectors"):
        open_index(config, index.model_id, dim=DIM + 1)


@pytest.mark.cluster
def test_it_is_proven_against_a_truth_and_repaired(index: MilvusIndex) -> None:
    vectors = unit_vectors(20)
    sync.apply(
        index,
        [
            Change(1, ChangeOp.UPSERT, np.arange(20), vectors),
            Change(2, ChangeOp.REMOVE, int64(3)),
        ],
    )
    truth = [(np.delete(np.arange(20), 3), np.delete(vectors, 3, axis=0))]
    assert sync.verify(index, truth).is_equal
    index.update(remove=int64(5), ids=int64(6, 77), vectors=unit_vectors(2, seed=5))
    report = sync.verify(index, truth)
    assert (report.missing.tolist(), report.extra.tolist()) == ([5], [77])
    assert report.different.tolist() == [6]
    assert sync.repair(index, truth, report) == 3
    assert sync.verify(index, truth).is_equal


@pytest.mark.cluster
def test_more_ids_than_one_answer_holds(index: MilvusIndex) -> None:
    """Also across what Milvus has flushed to a segment and what it has not."""
    ids = np.random.default_rng(0).permutation(40_000)
    vectors = np.resize(unit_vectors(1_000), (40_000, DIM))
    index.upsert(ids[:20_000], vectors[:20_000])
    index._client.flush(index._collection)
    index.upsert(ids[20_000:], vectors[20_000:])
    np.testing.assert_array_equal(index.ids(), np.arange(40_000))
    assert index.count == 40_000
    hits = eventually(lambda: index.search(vectors[:1], 20_000))
    assert (hits.ids != NO_ID).sum() == 16_384
    assert hits.ids.shape == (1, 20_000)
