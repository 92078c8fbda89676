"""CPU time of one thread, of the index at size; asserts no speed: `pytest -m bench -s`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexer.faiss_index import FaissConfig, FaissIndex
from indexer.snapshot import load_snapshot, save_snapshot
from tests.indexer.helpers import MODEL_ID

DIM = 512


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors in loose groups, which is how embeddings of music lie."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((count // 100 + 1, DIM)).astype(np.float32)
    vectors = centres[chance.integers(0, len(centres), count)]
    vectors += chance.standard_normal((count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def report(name: str, action: Callable[[], object], times: int = 1) -> None:
    taken_ms = []
    for _ in range(times):
        began = time.thread_time()
        action()
        taken_ms.append(1000 * (time.thread_time() - began))
    print(f"  {name}: median {np.median(taken_ms):.2f} ms, worst {max(taken_ms):.2f} ms")


@pytest.mark.bench
@pytest.mark.parametrize(("count", "exact_below"), [(100_000, 200_000), (100_000, 50_000)])
def test_bench(count: int, exact_below: int, tmp_path: Path) -> None:
    vectors, ids = clustered(count), np.arange(count, dtype=np.int64)
    queries = clustered(50, seed=2)
    config = FaissConfig(exact_below=exact_below, threads=1)
    began = time.thread_time()
    index = FaissIndex.build([(ids, vectors)], model_id=MODEL_ID, dim=DIM, seq=1, config=config)
    print(f"\n{index.kind}, {count} x {DIM}: built in {time.thread_time() - began:.2f} s")
    turn = iter(range(10_000))
    report("search", lambda: index.search(queries[next(turn) % 50][None], 10), 50)
    for size in (200, 2_000, 20_000, 50_000):
        subset = np.random.default_rng(size).permutation(ids)[:size]
        report(f"search of {size}", lambda s=subset: index.search(queries[:1], 10, s), 10)
    found = index.search(queries, 10).ids
    best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    hits = [len(set(a) & set(b)) for a, b in zip(found, best, strict=True)]
    print(f"  recall at 10: {np.mean(hits) / 10:.4f}")
    track = np.arange(24, dtype=np.int64)
    report("replace 24", lambda: index.upsert(track, vectors[:24]), 10)
    report("remove 24", lambda: index.remove(track + 24 * next(turn)), 10)
    report("save", lambda: save_snapshot(index, tmp_path))
    report("load", lambda: load_snapshot(tmp_path, model_id=MODEL_ID, dim=DIM, config=config))
