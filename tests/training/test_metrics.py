"""Ranking metrics against definitions spelled out item by item."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from models.training.metrics import (
    average_precision,
    bootstrap,
    chance_of_recall_of,
    chance_of_reciprocal_rank,
    macro,
    r_precision,
    retrieval_ranks,
    retrieval_scores,
    roc_auc,
)


def cases() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        (rng.integers(0, 6, 40) / 5.0, rng.random(40) < share)  # few values: many ties
        for share in (0.1, 0.5, 0.9)
    ] + [(rng.normal(size=30), rng.random(30) < 0.3)]


@pytest.mark.parametrize(("scores", "relevant"), cases())
def test_roc_auc_counts_pairs(scores: np.ndarray, relevant: np.ndarray) -> None:
    pairs = list(itertools.product(scores[relevant], scores[~relevant]))
    expected = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert roc_auc(scores, relevant) == pytest.approx(expected, abs=1e-12)


def test_precision_metrics_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    relevant = np.array([True, False, True, True, False])
    assert average_precision(scores, relevant) == pytest.approx((1 / 1 + 2 / 3 + 3 / 4) / 3)
    assert r_precision(scores, relevant) == pytest.approx(2 / 3)


def test_undefined_classes_are_left_out_of_the_macro_mean() -> None:
    scores = np.array([[0.1, 0.5], [0.9, 0.5], [0.2, 0.5]])
    relevant = np.array([[False, False], [True, False], [False, False]])
    assert np.isnan(roc_auc(scores[:, 1], relevant[:, 1]))
    assert macro(roc_auc, scores, relevant) == 1.0


def test_ranks_equal_a_full_sort_of_the_matrix() -> None:
    rng = np.random.default_rng(1)
    similarity = rng.normal(size=(25, 40))
    relevant = np.zeros((25, 40), dtype=bool)
    relevant[np.arange(25), rng.integers(0, 40, 25)] = True
    expected = []
    for row, mask in zip(similarity, relevant, strict=True):
        order = sorted(range(40), key=lambda item: -row[item])
        expected.append(order.index(int(np.flatnonzero(mask)[0])) + 1)
    ranks = retrieval_ranks(similarity, relevant)
    assert ranks.tolist() == expected
    scores = retrieval_scores(ranks, (1, 10))
    assert scores.recall[10] == np.mean([rank <= 10 for rank in expected])
    assert scores.mrr == pytest.approx(np.mean([1 / rank for rank in expected]))


def test_a_constant_score_earns_the_worst_rank() -> None:
    relevant = np.eye(4, dtype=bool)
    assert retrieval_ranks(np.zeros((4, 4)), relevant).tolist() == [4, 4, 4, 4]


def test_bootstrap_resamples_groups_not_items() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 50)
    groups = [f"g{int(value)}" for value in values]

    def mean(items: np.ndarray) -> float:
        return float(values[items].mean())

    grouped = bootstrap(mean, groups, chance=0.0)
    single = bootstrap(mean, [str(i) for i in range(200)], chance=0.0)
    assert grouped.value == single.value == 1.5
    # Four independent values, not two hundred: the interval must be several times as wide.
    assert grouped.high - grouped.low > 4 * (single.high - single.low)


@pytest.mark.parametrize(("right", "items"), [(1, 7), (3, 8), (8, 8)])
def test_chance_is_that_of_every_order(right: int, items: int) -> None:
    firsts = [min(order.index(r) for r in range(right)) + 1
              for order in itertools.permutations(range(items), items)]  # fmt: skip
    for k in (1, 3, 20):
        expected = np.mean([first <= k for first in firsts])
        assert chance_of_recall_of(right, items, k) == pytest.approx(expected)
    expected = np.mean([1 / first for first in firsts])
    assert chance_of_reciprocal_rank(right, items) == pytest.approx(expected)
