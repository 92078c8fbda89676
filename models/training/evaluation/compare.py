"""A figure of the bundle, the same of the teacher, and their difference, each with an interval.

The difference is bootstrapped in pairs: both are worked out on the same drawn tracks, since the
tracks vary more than the systems do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.metrics import Interval

Items = NDArray[np.int64]
Statistic = Callable[[Items], float]

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
    bundle: Statistic,
    teacher: Statistic | None,
    groups: Sequence[str],
    chance: float,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Bootstrap statistics of item indices over groups of items, both on the same draws.

    Draws in which a statistic is undefined (NaN) are left out of its interval.
    """
    names = sorted(set(groups))
    members = [np.flatnonzero(np.asarray(groups) == name) for name in names]
    rng = np.random.default_rng(seed)
    statistics = [bundle] if teacher is None else [bundle, teacher]
    drawn = np.empty((draws, len(statistics)))
    for draw in range(draws):
        items = np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])
        drawn[draw] = [statistic(items) for statistic in statistics]
    everything = np.arange(len(groups))
    values = [statistic(everything) for statistic in statistics]
    own = _interval(values[0], drawn[:, 0], chance)
    if teacher is None:
        return Comparison(own)
    return Comparison(
        own,
        _interval(values[1], drawn[:, 1], chance),
        _interval(values[0] - values[1], drawn[:, 0] - drawn[:, 1], 0.0),
    )


def first_two(statistics: Sequence[Statistic]) -> tuple[Statistic, Statistic | None]:
    """The bundle's statistic, and the teacher's where there is one."""
    return statistics[0], (statistics[1] if len(statistics) > 1 else None)


def _interval(value: float, drawn: NDArray[np.float64], chance: float) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    low, high = np.quantile(defined, [0.025, 0.975]) if len(defined) else (np.nan, np.nan)
    return Interval(value, float(low), float(high), chance)
