"""A figure of the bundle, the same of the teacher, and their difference, each with an interval.

The difference is bootstrapped in pairs: both are worked out on the same drawn tracks, since the
tracks vary more than the systems do.
Legend: D draws, N items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.training.evaluation.weighted import Counts, Values
from models.training.metrics import Interval

# From how often each item was drawn [D, N] to a figure of every draw [D], NaN where undefined.
Statistic = Callable[[Counts], Values]

DRAWS = 1000


@dataclass(frozen=True)
class Comparison:
    """The bundle's figure, the teacher's, and bundle minus teacher; the latter two may be absent.

    The chance of a difference is 0.
    """

    bundle: Interval
    teacher: Interval | None = None
    difference: Interval | None = None


def compare(
    statistics: Sequence[Statistic],
    groups: Sequence[str],
    chance: float,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Bootstrap one or two systems' statistics over groups of items, on the same draws.

    Draws in which a statistic is undefined are left out of its interval.
    """
    counts = draw_counts(groups, draws, seed)
    everything = np.ones((1, len(groups)), dtype=np.int64)
    values = [float(statistic(everything)[0]) for statistic in statistics]
    drawn = [statistic(counts) for statistic in statistics]
    own = _interval(values[0], drawn[0], chance)
    if len(statistics) == 1:
        return Comparison(own)
    return Comparison(
        own,
        _interval(values[1], drawn[1], chance),
        _interval(values[0] - values[1], drawn[0] - drawn[1], 0.0),
    )


def draw_counts(groups: Sequence[str], draws: int, seed: int) -> Counts:
    """How often each item is drawn [D, N] when whole groups are, with replacement."""
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    picked = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.asarray(picked[:, group_of], dtype=np.int64)


def _interval(value: float, drawn: Values, chance: float) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    low, high = np.quantile(defined, [0.025, 0.975]) if len(defined) else (np.nan, np.nan)
    return Interval(value, float(low), float(high), chance)
