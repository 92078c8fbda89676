"""Vectors and exact answers for the tests of the index."""

from __future__ import annotations

import numpy as np

from indexer.faiss_index import FaissConfig, FaissIndex

MODEL_ID = "model-a"
DIM = 16


def unit_vectors(count: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """float32 [count, dim] of unit length that float16 holds exactly enough."""
    raw = np.random.default_rng(seed).standard_normal((count, dim))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def vector_of(number: int, dim: int = DIM) -> np.ndarray:
    """The one vector that belongs to a number."""
    return unit_vectors(1, dim, seed=number)[0]


def make_index(dim: int = DIM, config: FaissConfig | None = None) -> FaissIndex:
    return FaissIndex(model_id=MODEL_ID, dim=dim, config=config)


def int64(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def brute_force(
    stored: dict[int, np.ndarray], queries: np.ndarray, k: int
) -> list[list[tuple[int, float]]]:
    """The best k (id, score) of each query, by sorting every score."""
    answers = []
    for query in queries:
        scored = [(one, float(vector @ query)) for one, vector in stored.items()]
        answers.append(sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k])
    return answers


def assert_hits(
    hits_ids: np.ndarray,
    hits_scores: np.ndarray,
    stored: dict[int, np.ndarray],
    queries: np.ndarray,
    k: int,
) -> None:
    """Hits are what sorting every score gives, up to the order of scores equal within rounding."""
    assert hits_ids.shape == hits_scores.shape == (len(queries), k)
    expected = brute_force(stored, queries, k)
    for query, ids, scores, wanted in zip(queries, hits_ids, hits_scores, expected, strict=True):
        found = len(wanted)
        assert (ids[found:] == -1).all()
        assert np.isneginf(scores[found:]).all()
        np.testing.assert_allclose(scores[:found], [score for _, score in wanted], atol=1e-5)
        assert len(set(ids[:found].tolist())) == found
        own = [float(stored[int(one)] @ query) for one in ids[:found]]
        np.testing.assert_allclose(scores[:found], own, atol=1e-5)
