import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.relevance import relevance_scale, scale_from_scores

finite = st.floats(-1, 1, allow_nan=False, width=32)


def test_reference_scores_get_their_ranks() -> None:
    scale = scale_from_scores([0.4, 0.1, 0.3, 0.2])
    assert scale.relevances_of([0.1, 0.2, 0.3, 0.4]) == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert scale.relevance(0.25) == pytest.approx(0.5)


def test_equal_scores_share_their_mean_rank() -> None:
    scale = scale_from_scores([0.1, 0.3, 0.3, 0.5])
    assert scale.relevance(0.3) == pytest.approx(0.5)


def test_the_tails_are_continuous_and_keep_telling_hits_apart() -> None:
    scores = np.random.default_rng(0).normal(0.1, 0.05, 2000)
    scale = scale_from_scores(scores)
    top = scores.max()
    beyond = scale.relevances_of([top, top + 1e-9, top + 0.05, top + 0.1, top + 0.3])
    assert beyond[0] == pytest.approx(2000 / 2001)
    assert beyond[1] == pytest.approx(beyond[0])
    assert np.all(np.diff(beyond) > 0)
    assert beyond[-1] < 1
    below = scale.relevances_of([-1.0, scores.min() - 0.1, scores.min()])
    assert np.all(np.diff(below) > 0)
    assert below[0] > 0


def test_a_normal_tail_is_continued_at_the_right_order_of_magnitude() -> None:
    """One score in 100 000 must not look like one in a thousand; the tail errs on the low side."""
    generator = np.random.default_rng(1)
    scale = scale_from_scores(generator.normal(0, 1, 3000))
    rarest = np.sort(generator.normal(0, 1, 300_000))[-3]
    assert 1e-7 < 1 - scale.relevance(float(rarest)) < 5e-4


def test_relevance_means_the_same_for_every_query() -> None:
    """Queries whose scores differ in spread give unrelated hits the same relevances."""
    generator = np.random.default_rng(2)
    reference = generator.normal(size=(4000, 16)).astype(np.float32)
    fresh = generator.normal(size=(4000, 16)).astype(np.float32)
    for spread in (0.01, 1.0, 5.0):
        query = (generator.normal(size=16) * spread).astype(np.float32)
        relevances = relevance_scale(query, reference).relevances_of(fresh @ query)
        assert np.mean(relevances > 0.99) == pytest.approx(0.01, abs=0.008)


def test_equal_reference_scores_still_give_an_order() -> None:
    scale = scale_from_scores([0.5] * 10)
    low, same, high = scale.relevances_of([0.4999, 0.5, 0.5001])
    assert low < same < high
    assert same == pytest.approx(0.5)


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        relevance_scale(np.ones(4, np.float32), np.empty((0, 4), np.float32))


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=1, max_size=50), st.lists(finite, min_size=2, max_size=20))
def test_relevance_never_decreases_and_stays_inside(
    reference: list[float], hits: list[float]
) -> None:
    relevances = scale_from_scores(reference).relevances_of(np.sort(hits))
    assert np.all(np.diff(relevances) >= 0)
    assert np.all((relevances >= 0) & (relevances <= 1))
