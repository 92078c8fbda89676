"""How the scores of its clips make a track's score.

Legend: T tracks, N clips of a track, K labels.

The truth is a tagger's, in two senses: the label fits the track as a whole (mean over its windows),
or some window of it (the best one). The highest 15 % of tracks have a label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.interface import MusicTextEncoder
from service.evaluation.music import Bools, Floats, LabelledMusic
from service.evaluation.ranks import average_precision, interval, table

HAS_SHARE = 0.15

Pool = Callable[[Floats], Floats]
"""From clip scores [N, K] to track scores [K]."""


def _highest(count: int) -> Pool:
    return lambda scores: np.sort(scores, axis=0)[::-1][:count].mean(axis=0)


def _highest_share(share: float) -> Pool:
    return lambda scores: _highest(max(1, int(np.ceil(share * len(scores)))))(scores)


def _mixed(mean: float, other: Pool) -> Pool:
    return lambda scores: mean * scores.mean(axis=0) + (1 - mean) * other(scores)


def _mean(scores: Floats) -> Floats:
    pooled: Floats = scores.mean(axis=0)
    return pooled


POOLS: Mapping[str, Pool] = {
    "mean of clips  (as served)": _mean,
    "median": lambda scores: np.median(scores, axis=0),
    "best clip": _highest(1),
    "mean of best 3": _highest(3),
    "mean of best quarter": _highest_share(0.25),
    "mean of best half": _highest_share(0.5),
    "0.75 mean + 0.25 best": _mixed(0.75, _highest(1)),
    "0.5 mean + 0.5 best": _mixed(0.5, _highest(1)),
    "0.5 mean + 0.5 best 3": _mixed(0.5, _highest(3)),
}


def track_score_table(music: LabelledMusic, encoder: MusicTextEncoder) -> str:
    """Mean average precision over labels, for both senses, with the difference from the mean."""
    texts = encoder.embed_text([f"{name.lower()} music" for name in music.names])
    wide = texts.astype(np.float64).T
    scores = {
        name: np.stack([pool(track.clips.astype(np.float64) @ wide) for track in music.tracks])
        for name, pool in POOLS.items()
    }
    truths = {
        "whole": music.labels(_mean),
        "part": music.labels(lambda rows: rows.max(axis=0)),
    }
    precisions = {
        (name, sense): _precisions(scores[name], _highest_labels(labels))
        for name in POOLS
        for sense, labels in truths.items()
    }
    served = next(iter(POOLS))
    rows: list[list[object]] = []
    for name in POOLS:
        row: list[object] = [name]
        for sense in truths:
            found = precisions[name, sense]
            low, high = interval(found - precisions[served, sense])
            row += [float(found.mean()), f"{low:+.3f} to {high:+.3f}"]
        rows.append(row)
    header = [
        "track score",
        "AP, whole track",
        "over mean (95 %)",
        "AP, some part",
        "over mean (95 %)",
    ]
    return table(header, rows)


def _highest_labels(labels: Floats) -> Bools:
    return labels >= np.quantile(labels, 1 - HAS_SHARE, axis=0)


def _precisions(scores: Floats, has: Bools) -> Floats:
    """[K]."""
    return np.array([average_precision(scores[:, k], has[:, k]) for k in range(scores.shape[1])])
