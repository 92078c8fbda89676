"""The FAISS index against sorting every score by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from indexer.base import VectorIndex
from indexer.errors import InvalidVectors, UnknownIds
from indexer.faiss_index import FaissConfig, FaissIndex
from tests.indexer.helpers import (
    DIM,
    MODEL_ID,
    assert_hits,
    brute_force,
    int64,
    make_index,
    unit_vectors,
    vector_of,
)

CONFIGS = {
    "flat fp16": FaissConfig(),
    "flat fp32": FaissConfig(storage="fp32"),
    "cells fp16": FaissConfig(exact_below=100, cells_probed=1_000),
    "cells fp32": FaissConfig(storage="fp32", exact_below=100, cells_probed=1_000),
}


def build(config: FaissConfig, count: int = 600, dim: int = DIM) -> tuple[FaissIndex, dict]:
    ids = np.arange(count, dtype=np.int64) * 7 + 3
    vectors = unit_vectors(count, dim)
    halves = [(ids[::2], vectors[::2]), (ids[1::2], vectors[1::2])]
    index = FaissIndex.build(halves, model_id=MODEL_ID, dim=dim, seq=5, config=config)
    return index, dict(zip(ids.tolist(), vectors, strict=True))


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> FaissConfig:
    return CONFIGS[request.param]


def test_a_built_index_knows_what_it_holds(config: FaissConfig) -> None:
    index, stored = build(config)
    as_protocol: VectorIndex = index
    assert (as_protocol.model_id, as_protocol.dim) == (MODEL_ID, DIM)
    assert (as_protocol.applied_seq, as_protocol.count) == (5, 600)
    assert index.kind == ("ivf" if config.exact_below == 100 else "flat")
    assert index.ids().tolist() == sorted(stored)
    assert index.contains(int64(3, 4, 10)).tolist() == [True, False, True]
    np.testing.assert_allclose(index.vectors(int64(10, 3)), [stored[10], stored[3]], atol=1e-6)
    with pytest.raises(UnknownIds):
        index.vectors(int64(3, 4))


@pytest.mark.parametrize("k", [1, 10, 700])
def test_search_finds_the_exact_best(config: FaissConfig, k: int) -> None:
    index, stored = build(config)
    queries = unit_vectors(9, seed=99)
    hits = index.search(queries, k)
    assert not hits.approximate
    assert_hits(hits.ids, hits.scores, stored, queries, k)


@pytest.mark.parametrize("share", [0, 1, 7, 200, 600])
@pytest.mark.parametrize("exact_subset", [50, 20_000])
def test_a_filtered_search_is_exact(config: FaissConfig, share: int, exact_subset: int) -> None:
    fields = {**vars(config), "exact_subset": exact_subset}
    index, stored = build(FaissConfig(**fields))
    chosen = np.random.default_rng(share).permutation(sorted(stored))[:share]
    unknown = int64(1, 2, 4)
    queries = unit_vectors(5, seed=98)
    subset = np.concatenate([chosen, chosen[:2], unknown]).astype(np.int64)
    hits = index.search(queries, 12, subset)
    assert not hits.approximate
    kept = {one: stored[one] for one in chosen.tolist()}
    assert_hits(hits.ids, hits.scores, kept, queries, 12)


def test_few_cells_make_a_search_approximate_but_not_a_narrow_filter() -> None:
    config = FaissConfig(exact_below=100, cells_probed=1, exact_subset=50)
    index, stored = build(config, 2_000)
    queries = unit_vectors(4, seed=97)
    assert index.search(queries, 3).approximate
    wide, narrow = index.ids()[:1_500], index.ids()[:50]
    assert index.search(queries, 3, wide).approximate
    hits = index.search(queries, 10, narrow)
    assert not hits.approximate
    kept = {one: stored[one] for one in narrow.tolist()}
    assert_hits(hits.ids, hits.scores, kept, queries, 10)


def test_no_gap_is_given_while_there_is_a_vector() -> None:
    """Callers take a gap for the end of the list, and few cells hold few vectors."""
    config = FaissConfig(exact_below=100, cells_probed=1, exact_subset=50)
    index, stored = build(config, 2_000)
    queries = unit_vectors(3, seed=96)
    for subset in (None, index.ids()[:1_500], index.ids()[::10]):
        kept = stored if subset is None else {one: stored[one] for one in subset.tolist()}
        k = len(kept) - 7
        hits = index.search(queries, k, subset)
        assert_hits(hits.ids, hits.scores, kept, queries, k)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_a_wide_filter_that_refuses_just_the_best_is_exact(
    config: FaissConfig, share: float
) -> None:
    index, stored = build(config)
    query = unit_vectors(1, seed=95)
    worst_first = sorted(stored, key=lambda one: float(stored[one] @ query[0]))
    kept = {one: stored[one] for one in worst_first[: int(share * len(stored))]}
    hits = index.search(query, 12, int64(*sorted(kept)))
    assert not hits.approximate
    assert_hits(hits.ids, hits.scores, kept, query, 12)


def test_cells_keep_recall_on_clustered_vectors() -> None:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((100, 64))
    raw = centres[chance.integers(0, 100, 20_000)] + 0.6 * chance.standard_normal((20_000, 64))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    ids = np.arange(20_000, dtype=np.int64)
    index = FaissIndex.build(
        [(ids, vectors)], model_id=MODEL_ID, dim=64, seq=0, config=FaissConfig(exact_below=10_000)
    )
    queries = vectors[chance.integers(0, 20_000, 200)]
    best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    found = index.search(queries, 10).ids
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, best, strict=True)])
    assert recall > 0.95


def test_changes_replace_and_remove(config: FaissConfig) -> None:
    index, stored = build(config)
    assert index.upsert(int64(3, 9_999), np.stack([vector_of(1), vector_of(2)]), seq=6)
    assert index.remove(int64(10, 123_456), seq=7)
    stored.update({3: vector_of(1), 9_999: vector_of(2)})
    del stored[10]
    assert (index.count, index.applied_seq) == (600, 7)
    queries = np.stack([vector_of(1), vector_of(2), vector_of(3)])
    hits = index.search(queries, 20)
    assert_hits(hits.ids, hits.scores, stored, queries, 20)
    assert hits.ids[:2, 0].tolist() == [3, 9_999]


def test_one_change_removes_and_adds_at_once(config: FaissConfig) -> None:
    index, _ = build(config)
    index.update(remove=int64(3, 10), ids=int64(10, 5), vectors=unit_vectors(2, seed=3), seq=8)
    assert index.contains(int64(3, 10, 5)).tolist() == [False, True, True]


def test_a_change_that_was_applied_is_not_applied_again() -> None:
    index = make_index()
    assert index.upsert(int64(1), vector_of(1)[None], seq=3)
    assert not index.remove(int64(1), seq=3)
    assert not index.remove(int64(1), seq=2)
    assert index.contains(int64(1)).all()
    assert index.applied_seq == 3


def test_a_repair_leaves_the_sequence_alone() -> None:
    index = make_index()
    index.upsert(int64(1), vector_of(1)[None], seq=3)
    assert index.remove(int64(1))
    assert (index.count, index.applied_seq) == (0, 3)


def test_an_empty_index_answers_with_gaps() -> None:
    for subset in (None, int64(), int64(4)):
        hits = make_index().search(unit_vectors(2), 3, subset)
        assert hits.ids.tolist() == [[-1] * 3] * 2
        assert np.isneginf(hits.scores).all()
    assert make_index().search(unit_vectors(0), 3).ids.shape == (0, 3)
    assert make_index().ids().tolist() == []


def test_equal_scores_come_in_the_order_of_ids() -> None:
    index = make_index()
    ids = int64(9, 2, 30, 4)
    index.upsert(ids, np.repeat(vector_of(1)[None], 4, axis=0))
    for subset in (None, ids):
        assert index.search(vector_of(1)[None], 4, subset).ids.tolist() == [[2, 4, 9, 30]]


BAD_CHANGES: dict[str, Callable[[], tuple]] = {
    "repeated id": lambda: (int64(1, 1), unit_vectors(2)),
    "negative id": lambda: (int64(-1), unit_vectors(1)),
    "float id": lambda: (np.array([1.0]), unit_vectors(1)),
    "wrong width": lambda: (int64(1), unit_vectors(1, DIM + 1)),
    "one row short": lambda: (int64(1, 2), unit_vectors(1)),
    "flat vector": lambda: (int64(1), vector_of(1)),
    "nan": lambda: (int64(1), np.full((1, DIM), np.nan, np.float32)),
    "inf": lambda: (int64(1), np.full((1, DIM), np.inf, np.float32)),
    "too long": lambda: (int64(1), 3 * unit_vectors(1)),
}


@pytest.mark.parametrize("name", BAD_CHANGES)
def test_bad_changes_are_refused_and_change_nothing(name: str) -> None:
    index = make_index()
    index.upsert(int64(1), vector_of(1)[None], seq=1)
    with pytest.raises(InvalidVectors):
        index.upsert(*BAD_CHANGES[name](), seq=2)
    assert (index.count, index.applied_seq) == (1, 1)
    np.testing.assert_allclose(index.vectors(int64(1)), vector_of(1)[None], atol=1e-6)


def test_bad_queries_are_refused() -> None:
    index = make_index()
    for queries in (vector_of(1), unit_vectors(1, DIM + 1), np.full((1, DIM), np.nan)):
        with pytest.raises(InvalidVectors):
            index.search(queries, 1)
    with pytest.raises(InvalidVectors):
        index.search(unit_vectors(1), 0)


def test_growth_and_shrinking_ask_for_a_rebuild() -> None:
    flat, _ = build(FaissConfig(exact_below=600))
    assert not flat.needs_rebuild
    flat.upsert(int64(1), vector_of(1)[None])
    assert flat.needs_rebuild
    cells, stored = build(FaissConfig(exact_below=400))
    assert cells.kind == "ivf"
    assert not cells.needs_rebuild
    cells.remove(np.array(sorted(stored)[:450], dtype=np.int64))
    assert cells.needs_rebuild
    cells.upsert(np.arange(10_000, 13_000, dtype=np.int64), unit_vectors(3_000))
    assert cells.needs_rebuild


def test_searches_beside_changes_see_whole_changes_only() -> None:
    """Pairs of ids come and go together; a search must never see half a pair."""
    index = make_index()
    base = unit_vectors(300, seed=5)
    index.upsert(np.arange(300, dtype=np.int64) + 1_000, base * np.float32(0.5))
    pair = np.repeat(vector_of(7)[None], 2, axis=0)
    stop = threading.Event()
    faults: list[str] = []
    searches = [0]

    def search() -> None:
        while not stop.is_set():
            hits = index.search(vector_of(7)[None], 20)
            found = {int(one) for one in hits.ids[0] if 0 <= one < 1_000}
            if {one ^ 1 for one in found} != found:
                faults.append(f"half a pair: {found}")
            if (hits.ids >= 0).sum() != 20:
                faults.append("gaps")
            searches[0] += 1

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seq in range(1, 400):
        first = 2 * ((seq - 1) // 2 % 50)
        if seq % 2:
            index.upsert(int64(first, first + 1), pair, seq=seq)
        else:
            index.remove(int64(first, first + 1), seq=seq)
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert searches[0] > 10


def test_after_a_remove_returned_no_search_finds_the_id() -> None:
    index = make_index()
    ids = np.arange(200, dtype=np.int64)
    index.upsert(ids, unit_vectors(200))
    removed: set[int] = set()
    stop = threading.Event()
    faults: list[int] = []

    def search() -> None:
        while not stop.is_set():
            gone = set(removed)
            faults.extend(gone & set(index.search(vector_of(1)[None], 200).ids[0].tolist()))

    thread = threading.Thread(target=search)
    thread.start()
    for one in range(150):
        index.remove(int64(one), seq=one + 1)
        removed.add(one)
    stop.set()
    thread.join()
    assert faults == []
    assert index.ids().tolist() == list(range(150, 200))


def test_brute_force_itself_is_right() -> None:
    stored = {1: np.array([1.0, 0.0]), 2: np.array([0.0, 1.0]), 3: np.array([0.6, 0.8])}
    assert brute_force(stored, np.array([[0.0, 1.0]]), 2) == [[(2, 1.0), (3, 0.8)]]
