"""Metrics of counted items against the same metrics of the resample written out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.training.evaluation.compare import compare, draw_counts
from models.training.evaluation.weighted import (
    weighted_average_precision,
    weighted_mean,
    weighted_r_precision,
    weighted_roc_auc,
)
from models.training.metrics import average_precision, r_precision, roc_auc

PAIRS = [
    (weighted_roc_auc, roc_auc),
    (weighted_average_precision, average_precision),
    (weighted_r_precision, r_precision),
]


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
def test_counting_equals_writing_the_resample_out(
    fast: Callable[..., np.ndarray], plain: Callable[..., float]
) -> None:
    rng = np.random.default_rng(3)
    scores, relevant = rng.normal(size=23), rng.random(23) < 0.3
    counts = draw_counts([str(i) for i in range(23)], draws=40, seed=1)
    written_out = []
    for row in counts:
        items = np.repeat(np.arange(23), row)
        written_out.append(plain(scores[items], relevant[items]))
    np.testing.assert_allclose(fast(scores, relevant, counts), written_out, atol=1e-12)


def test_ties_count_a_half_and_missing_kinds_are_undefined() -> None:
    counts = np.array([[1, 1, 1], [2, 0, 1], [0, 1, 1]])
    values = weighted_roc_auc(np.array([0.5, 0.5, 0.1]), np.array([True, False, False]), counts)
    np.testing.assert_allclose(values, [0.75, 1.0, np.nan])


def test_groups_are_drawn_whole() -> None:
    counts = draw_counts(["a", "b", "a", "c"], draws=200, seed=0)
    assert (counts[:, 0] == counts[:, 2]).all()
    # As many groups as there are, every time: three of a, b and c.
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_paired_difference_is_narrower_than_its_parts() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=60)  # how hard each item is for both systems
    names = [str(i) for i in range(60)]
    one, other = hard + 0.5, hard + rng.normal(scale=0.05, size=60)
    found = compare([lambda c: weighted_mean(one, c), lambda c: weighted_mean(other, c)], names, 0)
    assert found.teacher is not None
    assert found.difference is not None
    assert found.difference.value == pytest.approx(one.mean() - other.mean())
    assert found.difference.low > 0.4
    width = found.difference.high - found.difference.low
    assert width < 0.2 * (found.bundle.high - found.bundle.low)
