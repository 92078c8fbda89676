"""How parts of a query become one score: unwanted parts, and several wanted ones.

Legend: T tracks, E embedding width, K labels, R reference clips.

A pair (A, B) asks for label A without label B, or for both. The truth is a tagger's: a track has a
label where its logit is among the highest fifth. Pairs are those in which there is something to
lose: at least 5 tracks have both labels, and at least 10 have A alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.interface import MusicTextEncoder
from models.relevance import scale_from_scores
from service.evaluation.music import Bools, Floats, LabelledMusic
from service.evaluation.ranks import best, interval, roc_auc, table
from service.search.mixing import WeightedVector
from service.search.scoring import Scorer

HAS_SHARE = 0.2
LEAST_AUC = 0.7
LEAST_BOTH, LEAST_ALONE = 5, 10

Pair = tuple[int, int]
Score = Callable[[int, int], Floats]


@dataclass(frozen=True, eq=False)
class Ground:
    """What the methods work on: track vectors [T, E], label vectors [K, E], and who has what."""

    tracks: Floats
    texts: Floats
    reference: Floats
    has: Bools
    pairs: Sequence[Pair]

    def cosines(self) -> Floats:
        """[T, K]."""
        return self.tracks @ self.texts.T

    def standardised(self) -> Floats:
        """[T, K], each label's cosines over its mean and spread on reference music."""
        measured = self.reference @ self.texts.T
        standardised: Floats = (self.cosines() - measured.mean(axis=0)) / measured.std(axis=0)
        return standardised

    def relevances(self) -> Floats:
        """[T, K]."""
        measured = self.reference @ self.texts.T
        columns = [
            scale_from_scores(measured[:, k]).relevances_of(self.cosines()[:, k])
            for k in range(self.texts.shape[0])
        ]
        return np.stack(columns, axis=1)


def lay_ground(music: LabelledMusic, encoder: MusicTextEncoder) -> Ground:
    """The labels that the bundle knows at all (area under the curve of LEAST_AUC), in pairs."""
    labels = music.labels()
    has = labels >= np.quantile(labels, 1 - HAS_SHARE, axis=0)
    texts = encoder.embed_text([f"{name.lower()} music" for name in music.names])
    tracks = music.means()
    cosines = tracks @ texts.T.astype(np.float64)
    known = [k for k in range(len(music.names)) if roc_auc(cosines[:, k], has[:, k]) >= LEAST_AUC]
    pairs = [
        (a, b)
        for a, b in itertools.permutations(known, 2)
        if (has[:, a] & has[:, b]).sum() >= LEAST_BOTH
        and (has[:, a] & ~has[:, b]).sum() >= LEAST_ALONE
    ]
    reference = encoder.reference.astype(np.float64)
    return Ground(tracks, texts.astype(np.float64), reference, has, pairs)


def unwanted_methods(ground: Ground, weight: float) -> Mapping[str, Score]:
    """Ways to ask for A without B."""
    cosines, z, relevance = ground.cosines(), ground.standardised(), ground.relevances()
    tracks, texts = ground.tracks, ground.texts

    def subtract(share: float) -> Score:
        return lambda a, b: tracks @ _unit(texts[a] - share * texts[b])

    def orthogonal(a: int, b: int) -> Floats:
        direction: Floats = texts[a] - weight * float(texts[a] @ texts[b]) * texts[b]
        return tracks @ direction

    def hinge(share: float) -> Score:
        return lambda a, b: z[:, a] - share * np.maximum(0, z[:, b])

    def gate(bar: float) -> Score:
        return lambda a, b: cosines[:, a] - 10 * (relevance[:, b] > bar)

    return {
        "A alone": lambda a, _b: cosines[:, a],
        "vectors: A - B": subtract(weight),
        "vectors: A - 0.5 B": subtract(0.5 * weight),
        "vectors: B projected out of A": orthogonal,
        "spreads: A - B": lambda a, b: z[:, a] - weight * z[:, b],
        "spreads: A - 0.5 B": lambda a, b: z[:, a] - 0.5 * weight * z[:, b],
        "spreads: A - max(0, B)  (as served)": _served(ground, weight),
        "spreads: A - 0.5 max(0, B)": hinge(0.5 * weight),
        "spreads: A - 1.5 max(0, B)": hinge(1.5 * weight),
        "spreads: A - 2 max(0, relevance(B) - 0.5) / 0.5": lambda a, b: (
            z[:, a] - 2 * weight * np.maximum(0, relevance[:, b] - 0.5) / 0.5
        ),
        "relevance: A * (1 - B)": lambda a, b: relevance[:, a] * (1 - weight * relevance[:, b]),
        "B's relevance over 0.8 goes last": gate(0.8),
    }


def wanted_methods(ground: Ground) -> Mapping[str, Score]:
    """Ways to ask for A and B together."""
    z, relevance = ground.standardised(), ground.relevances()
    return {
        "A alone": lambda a, _b: z[:, a],
        "vectors: A + B": lambda a, b: ground.tracks @ (ground.texts[a] + ground.texts[b]),
        "spreads: A + B  (as served)": _served(ground, None),
        "spreads: min(A, B)": lambda a, b: np.minimum(z[:, a], z[:, b]),
        "relevance: A + B": lambda a, b: relevance[:, a] + relevance[:, b],
        "relevance: min(A, B)": lambda a, b: np.minimum(relevance[:, a], relevance[:, b]),
    }


def unwanted_table(ground: Ground, weight: float = 1.0) -> str:
    """A's and B's shares of the first ten, and of tracks with A alone, for each method."""
    methods = unwanted_methods(ground, weight)
    plain = _shares(ground, methods["vectors: A - B"])[:, 2]
    rows: list[list[object]] = []
    for name, score in methods.items():
        shares = _shares(ground, score)
        low, high = interval(shares[:, 2] - plain)
        means = shares.mean(axis=0)[:3].tolist()
        rows.append([name, *means, f"{low:+.3f} to {high:+.3f}"])
    header = ["A without B", "A in 10", "B in 10", "A without B in 10", "over A - B (95 %)"]
    return table(header, rows)


def wanted_table(ground: Ground) -> str:
    """The shares of the first ten that have A, B, and both."""
    rows: list[list[object]] = []
    for name, score in wanted_methods(ground).items():
        a, b, _, both = map(float, _shares(ground, score).mean(axis=0))
        rows.append([name, a, b, both])
    return table(["A and B", "A in 10", "B in 10", "both in 10"], rows)


def mixed_table(ground: Ground, *, examples: int = 3, seed: int = 1) -> str:
    """A as a text with a stored track that has B and not A: what has both, and is not the track."""
    directions = ground.tracks / np.linalg.norm(ground.tracks, axis=1, keepdims=True)
    measured = ground.reference @ directions.T
    like = ground.tracks @ directions.T  # [T, T], the track of the query last
    like_z = (like - measured.mean(axis=0)) / measured.std(axis=0)
    cosines, z = ground.cosines(), ground.standardised()
    reference = ground.reference.astype(np.float32)

    def served(a: int, example: int) -> Floats:
        vectors = (ground.texts[a], directions[example])
        parts = [WeightedVector(vector.astype(np.float32), 1.0) for vector in vectors]
        return Scorer(parts, reference).score(ground.tracks.astype(np.float32))

    methods: Mapping[str, Score] = {
        "text alone": lambda a, _example: cosines[:, a],
        "track alone": lambda _a, example: like[:, example],
        "vectors: text + track": lambda a, example: cosines[:, a] + like[:, example],
        "spreads: text + track  (as served)": served,
        "spreads: min(text, track)": lambda a, example: np.minimum(z[:, a], like_z[:, example]),
    }
    rows = []
    for name, score in methods.items():
        rng = np.random.default_rng(seed)
        shares = [
            _shares_of_both(ground, score(a, int(example)), a, b, int(example))
            for a, b in ground.pairs
            for example in _examples(rng, ground.has[:, b] & ~ground.has[:, a], examples)
        ]
        rows.append([name, *np.mean(shares, axis=0).tolist()])
    return table(["A by text, B by a track", "A in 10", "B in 10", "both in 10"], rows)


def _examples(rng: np.random.Generator, fit: Bools, count: int) -> Sequence[int]:
    places = np.flatnonzero(fit)
    chosen: list[int] = rng.choice(places, min(count, len(places)), replace=False).tolist()
    return chosen


def _shares_of_both(
    ground: Ground, scores: Floats, a: int, b: int, example: int
) -> tuple[float, float, float]:
    top = best(np.where(np.arange(len(scores)) == example, -np.inf, scores))
    has_a, has_b = ground.has[top, a], ground.has[top, b]
    return float(has_a.mean()), float(has_b.mean()), float((has_a & has_b).mean())


def _served(ground: Ground, unwanted: float | None) -> Score:
    """The scorer that answers requests; `unwanted` is B's weight, None where B is wanted."""

    def score(a: int, b: int) -> Floats:
        weights = (1.0, 1.0 if unwanted is None else -unwanted)
        parts = [
            WeightedVector(ground.texts[k].astype(np.float32), weight)
            for k, weight in zip((a, b), weights, strict=True)
        ]
        return Scorer(parts, ground.reference.astype(np.float32)).score(
            ground.tracks.astype(np.float32)
        )

    return score


def _shares(ground: Ground, score: Score) -> Floats:
    """[pairs, 4]: of the first ten, how many have A, B, A without B, and both."""
    rows = []
    for a, b in ground.pairs:
        top = best(score(a, b))
        has_a, has_b = ground.has[top, a], ground.has[top, b]
        rows.append([x.mean() for x in (has_a, has_b, has_a & ~has_b, has_a & has_b)])
    return np.array(rows)


def _unit(vector: Floats) -> Floats:
    scaled: Floats = vector / np.linalg.norm(vector)
    return scaled
