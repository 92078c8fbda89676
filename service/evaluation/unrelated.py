"""How often unrelated pairs reach a relevance, which should be one minus that relevance.

Legend: Q queries, G packages, B bars, N clips, E embedding width.

Unrelated are a query and a recording that were not chosen for each other: a text and any recording,
or a clip and recordings of another package and another artist, since pieces of one album are alike
for a reason. Each recording counts the same, however long. The bands resample packages (on both
sides at once for clips, so that a taste that many pairs share is not counted as evidence many
times) and texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.interface import MusicTextEncoder, Vectors
from models.relevance import scale_from_scores
from service.evaluation.music import Bools, Floats, Recording
from service.evaluation.ranks import table
from service.evaluation.verdicts import ABOUT_MUSIC, ABOUT_OTHER_THINGS

QUERIES_PER_RECORDING = 4
TABLE_BARS = (0.5, 0.9, 0.95, 0.99, 0.999)
CURVE_BARS = tuple(1 - share for share in np.geomspace(0.5, 0.001, 28).tolist())
_DRAWS = 2_000


@dataclass(frozen=True, eq=False)
class Curve:
    """Shares of pairs above each bar [B], their 95 % band, and the spread between queries."""

    bars: tuple[float, ...]
    shares: Floats
    low: Floats
    high: Floats
    by_query: tuple[Floats, Floats]
    """10th and 90th percentile of single queries' shares [B]."""
    queries: int
    recordings: int


@dataclass(frozen=True, eq=False)
class _Library:
    """Clips [N, E] of recordings with each clip's recording, package, artist and weight."""

    clips: Vectors
    owners: NDArray[np.int64]
    packages: NDArray[np.int64]
    artists: NDArray[np.str_]
    weights: Floats


def text_curve(
    recordings: Sequence[Recording], encoder: MusicTextEncoder, bars: Sequence[float]
) -> Curve:
    """Sixty texts, half of them not about music, against every recording."""
    library = _library(recordings)
    texts = encoder.embed_text([*ABOUT_MUSIC, *ABOUT_OTHER_THINGS])
    everything = np.ones(len(library.clips), dtype=bool)
    above, weights = _count(
        library, texts, [everything] * len(texts), encoder.reference, tuple(bars)
    )
    rng = np.random.default_rng(0)
    drawn = [(_draw(rng, len(texts)), _draw(rng, weights.shape[1])) for _ in range(_DRAWS)]
    return _curve(tuple(bars), above, weights, drawn, len(recordings))


def clip_curve(
    recordings: Sequence[Recording], encoder: MusicTextEncoder, bars: Sequence[float]
) -> Curve:
    """Four clips of each recording against recordings of other packages and artists."""
    library = _library(recordings)
    likes = np.concatenate(
        [_evenly(np.flatnonzero(library.owners == owner)) for owner in range(len(recordings))]
    )
    others = [
        (library.packages != library.packages[like]) & (library.artists != library.artists[like])
        for like in likes
    ]
    above, weights = _count(library, library.clips[likes], others, encoder.reference, tuple(bars))
    packages = library.packages[likes]
    rng = np.random.default_rng(0)
    drawn = [
        (draw[packages], draw) for draw in (_draw(rng, weights.shape[1]) for _ in range(_DRAWS))
    ]
    return _curve(tuple(bars), above, weights, drawn, len(recordings))


def unrelated_table(recordings: Sequence[Recording], encoder: MusicTextEncoder) -> str:
    """The shares of both kinds at a few bars."""
    texts = text_curve(recordings, encoder, TABLE_BARS)
    clips = clip_curve(recordings, encoder, TABLE_BARS)
    rows = []
    for place, bar in enumerate(TABLE_BARS):
        row: list[object] = [f"{bar:g}", f"{1 - bar:.3g}"]
        for curve in (texts, clips):
            row.append(
                f"{curve.shares[place]:.4f} ({curve.low[place]:.4f} to {curve.high[place]:.4f})"
            )
            low, high = (side[place] for side in curve.by_query)
            row.append(f"{low:.4f} to {high:.4f}")
        rows.append(row)
    header = [
        "relevance above", "expected", f"{texts.queries} texts (95 %)",
        "single texts, 10th to 90th percentile", f"{clips.queries} clips (95 %)",
        "single clips, 10th to 90th percentile",
    ]  # fmt: skip
    return table(header, rows)


def _library(recordings: Sequence[Recording]) -> _Library:
    counts = [len(each.clips) for each in recordings]
    owners = np.repeat(np.arange(len(recordings)), counts)
    sources = [each.entry.source for each in recordings]
    packages = np.unique(np.array(sources), return_inverse=True)[1]
    # A recording without an artist is like no other by name.
    artists = np.array([each.entry.artist or each.entry.id for each in recordings])
    return _Library(
        clips=np.concatenate([each.clips for each in recordings]),
        owners=owners,
        packages=packages[owners],
        artists=artists[owners],
        weights=1 / np.array(counts, dtype=np.float64)[owners],
    )


def _count(
    library: _Library,
    queries: Vectors,
    allowed: Sequence[Bools],
    reference: Vectors,
    bars: tuple[float, ...],
) -> tuple[Floats, Floats]:
    """The weight of pairs above each bar [Q, B, G], and of all pairs [Q, G], by package."""
    packages = int(library.packages.max()) + 1
    above = np.zeros((len(queries), len(bars), packages))
    weights = np.zeros((len(queries), packages))
    for place, (query, mask) in enumerate(zip(queries, allowed, strict=True)):
        scale = scale_from_scores(reference @ query)
        relevances = scale.relevances_of(library.clips[mask] @ query)
        owned, weight = library.packages[mask], library.weights[mask]
        weights[place] = np.bincount(owned, weight, packages)
        for number, bar in enumerate(bars):
            above[place, number] = np.bincount(owned, weight * (relevances > bar), packages)
    return above, weights


def _curve(
    bars: tuple[float, ...],
    above: Floats,
    weights: Floats,
    drawn: Sequence[tuple[Floats, Floats]],
    recordings: int,
) -> Curve:
    """`drawn` holds how often each query [Q] and package [G] was drawn."""
    single = above.sum(axis=2) / weights.sum(axis=1)[:, np.newaxis]
    of_queries = np.stack([queries for queries, _ in drawn])
    of_packages = np.stack([packages for _, packages in drawn])
    count, width = weights.shape
    hits = (of_queries @ above.reshape(count, -1)).reshape(len(drawn), len(bars), width)
    pairs = of_queries @ weights
    shares = (
        np.einsum("dbg,dg->db", hits, of_packages)
        / np.einsum("dg,dg->d", pairs, of_packages)[:, np.newaxis]
    )
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    return Curve(
        bars=bars,
        shares=above.sum(axis=(0, 2)) / weights.sum(),
        low=low,
        high=high,
        by_query=(np.quantile(single, 0.1, axis=0), np.quantile(single, 0.9, axis=0)),
        queries=count,
        recordings=recordings,
    )


def _draw(rng: np.random.Generator, count: int) -> Floats:
    """How often each of `count` things comes up in as many draws."""
    drawn: Floats = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
    return drawn


def _evenly(places: NDArray[np.int64]) -> NDArray[np.int64]:
    wanted = min(len(places), QUERIES_PER_RECORDING)
    picked: NDArray[np.int64] = places[
        np.unique(np.linspace(0, len(places) - 1, wanted).round().astype(np.int64))
    ]
    return picked
