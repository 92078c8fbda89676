"""Ordering hits: best score first, equal scores by id, gaps last."""

from __future__ import annotations

import numpy as np

from indexer.base import NO_ID, Ids, Vectors


def order_hits(ids: Ids, scores: Vectors) -> tuple[Ids, Vectors]:
    """Hits [Q, K] in order, with NO_ID and -inf in the places that hold none."""
    scores = np.where(ids == NO_ID, np.float32(-np.inf), scores)
    order = np.lexsort((ids, -scores), axis=1)
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)


def rank_exactly(queries: Vectors, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
    """The best `k` of ids [N] with vectors [N, E] for queries [Q, E], each pair scored."""
    scores = queries @ vectors.T
    if k < ids.size:
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        hit_ids, hit_scores = ids[best], np.take_along_axis(scores, best, axis=1)
    else:
        gaps = ((0, 0), (0, k - ids.size))
        hit_ids = np.pad(np.tile(ids, (len(queries), 1)), gaps, constant_values=NO_ID)
        hit_scores = np.pad(scores, gaps)
    return order_hits(hit_ids, hit_scores)
