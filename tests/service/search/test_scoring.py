"""The score of a query of several parts: what it must keep, whatever the parts and vectors."""

import numpy as np
import pytest

from service.search.mixing import PartsCancelOut, WeightedVector
from service.search.scoring import Scorer
from tests.support.stored_tracks import random_clips

WIDTH = 24
MIXES = [(1.0, 0.5), (1.0, -1.0), (0.5, 1.0, -0.3, -1.0), (-1.0, -0.2)]


def scorer(*weights: float, seed: int = 1, reference: int = 200) -> Scorer:
    rng = np.random.default_rng(seed)
    parts = [WeightedVector(random_clips(rng, 1, WIDTH)[0], weight) for weight in weights]
    return Scorer(parts, random_clips(rng, reference, WIDTH))


def vectors(count: int = 300, seed: int = 2) -> np.ndarray:
    return random_clips(np.random.default_rng(seed), count, WIDTH)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_one_part_scores_as_its_cosine(weight: float) -> None:
    part = WeightedVector(vectors(1)[0], weight)
    alone = Scorer([part], vectors(50, seed=3))
    np.testing.assert_allclose(alone.score(vectors()), vectors() @ part.vector, atol=1e-6)
    np.testing.assert_allclose(alone.proposal, part.vector, atol=1e-6)
    assert alone.bound(0.25) == pytest.approx(0.25)


@pytest.mark.parametrize("weights", [(1.0,), *MIXES])
def test_no_vector_scores_above_its_bound(weights: tuple[float, ...]) -> None:
    for seed in range(20):
        query = scorer(*weights, seed=seed)
        tried = vectors(400, seed=seed + 100)
        bounds = np.array([query.bound(float(score)) for score in tried @ query.proposal])
        assert (query.score(tried) <= bounds + 1e-6).all()


@pytest.mark.parametrize("weights", MIXES)
def test_contributions_add_up_to_the_score(weights: tuple[float, ...]) -> None:
    query = scorer(*weights)
    for vector, score in zip(vectors(20), query.score(vectors(20)), strict=True):
        shares = query.explain(vector)
        assert sum(share.contribution for share in shares) == pytest.approx(score, abs=1e-6)
        assert [share.index for share in shares] == list(range(len(weights)))
        assert all(share.relevance is not None for share in shares)


def test_an_unwanted_part_takes_only_from_what_resembles_it() -> None:
    rng = np.random.default_rng(5)
    wanted, unwanted = random_clips(rng, 2, WIDTH)
    reference = random_clips(rng, 200, WIDTH)
    alone = Scorer([WeightedVector(wanted, 1.0)], reference).score(vectors())
    both = Scorer([WeightedVector(wanted, 1.0), WeightedVector(unwanted, -1.0)], reference)
    lost = alone - both.score(vectors())
    resembles = vectors() @ unwanted > (reference @ unwanted).mean()
    np.testing.assert_allclose(lost[~resembles], 0.0, atol=1e-6)
    assert (lost[resembles] > 0).all()
    half = Scorer([WeightedVector(wanted, 1.0), WeightedVector(unwanted, -0.5)], reference)
    np.testing.assert_allclose(alone - half.score(vectors()), lost / 2, atol=1e-6)


def test_parts_that_spread_differently_weigh_alike() -> None:
    """A part that differs ten times as much between clips must not decide ten times as much."""
    rng = np.random.default_rng(6)
    reference = random_clips(rng, 400, WIDTH)
    reference[:, 0] *= 0.1
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    narrow, wide = np.eye(WIDTH, dtype=np.float32)[:2]
    query = Scorer([WeightedVector(narrow, 1.0), WeightedVector(wide, 1.0)], reference)
    shares = np.array([[s.contribution for s in query.explain(row)] for row in reference])
    first, second = shares.std(axis=0)
    assert first == pytest.approx(second, rel=1e-3)


def test_the_score_of_a_vector_does_not_depend_on_its_company() -> None:
    query = scorer(1.0, 0.4, -0.7)
    together = query.score(vectors())
    alone = [query.score(row[np.newaxis])[0] for row in vectors()]
    assert (together == np.array(alone)).all()


def test_relevance_is_the_rank_among_reference_scores() -> None:
    rng = np.random.default_rng(7)
    wanted, unwanted = random_clips(rng, 2, WIDTH)
    parts = [WeightedVector(wanted, 1.0), WeightedVector(unwanted, -1.0)]
    reference = random_clips(rng, 99, WIDTH)
    query = Scorer(parts, reference)
    ranks = np.argsort(np.argsort(query.score(reference))) + 1
    relevances = [query.relevance(float(score)) for score in query.score(reference)]
    np.testing.assert_allclose(relevances, ranks / 100, atol=1e-9)
    assert query.admits(1e9, 0.99)
    assert not query.admits(-1e9, 0.01)


def test_without_reference_music_parts_are_plain() -> None:
    query = scorer(1.0, -1.0, reference=0)
    assert query.relevance(0.5) is None
    assert query.admits(-1.0, 0.9)
    assert query.explain(vectors(1)[0])[0].relevance is None


def test_parts_that_leave_nothing_are_refused() -> None:
    vector = vectors(1)[0]
    for weights in ((1.0, -1.0), (0.3, -0.3)):
        parts = [WeightedVector(vector, weight) for weight in weights]
        with pytest.raises(PartsCancelOut):
            Scorer(parts, vectors(10))
    with pytest.raises(PartsCancelOut):
        Scorer([WeightedVector(vector, 1.0), WeightedVector(-vector, 1.0)], vectors(10))
