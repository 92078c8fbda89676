"""From relevance to the probability that a label fits, learned on labelled validation tracks.

Legend: n pairs of relevance and truth.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BundleFormatError

Floats = NDArray[np.float64]
Method = Literal["logistic", "isotonic"]

_EDGE = 1e-6
# A weak pull towards zero keeps the fit finite where the labels can be told apart perfectly.
_RIDGE = 1e-3
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing map from relevance to probability, given by its knots.

    Between knots it is linear in the logit of relevance, where the best hits are told apart.
    `facts` says what it was fitted on and how well.
    """

    method: Method
    knots: tuple[float, ...]
    probabilities: tuple[float, ...]
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        knots, probabilities = np.asarray(self.knots), np.asarray(self.probabilities)
        if knots.size == 0 or knots.shape != probabilities.shape:
            raise BundleFormatError("a calibration needs as many probabilities as knots")
        if not (np.isfinite(knots).all() and np.all(np.diff(knots) > 0)):
            raise BundleFormatError("a calibration's knots must increase")
        inside = np.all((probabilities >= 0) & (probabilities <= 1))
        if not (inside and np.all(np.diff(probabilities) >= 0)):
            raise BundleFormatError("a calibration's probabilities must not decrease")

    def probability(self, relevance: float) -> float:
        """The probability for a relevance of 0 to 1."""
        return float(self.probabilities_of(relevance))

    def probabilities_of(self, relevances: ArrayLike) -> Floats:
        """The probabilities for relevances, of the same shape."""
        return np.asarray(np.interp(_logit(relevances), self.knots, self.probabilities))


def fit_calibration(
    relevances: ArrayLike,
    labels: ArrayLike,
    *,
    method: Method = "logistic",
    facts: dict[str, Any] | None = None,
) -> Calibration:
    """Fit relevances [n] of (label, track) pairs against truth [n] (1 where the label fits).

    Logistic regression on the logit of relevance has two parameters and suits hundreds of pairs;
    isotonic regression follows thousands more closely. Both are monotone: a logistic slope below
    zero is an error, since it would rank the worst hits first. Raises ValueError for that, and
    for pairs that are all of one kind.
    """
    x = _logit(np.asarray(relevances, dtype=np.float64))
    y = np.asarray(labels, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError("relevances and labels must be two lists of the same length")
    if not (np.any(y == 0) and np.any(y == 1) and np.all((y == 0) | (y == 1))):
        raise ValueError("calibration needs labels of 0 and 1, both of them")
    knots, probabilities = _logistic(x, y) if method == "logistic" else _isotonic(x, y)
    predicted = np.clip(np.interp(x, knots, probabilities), _EDGE, 1 - _EDGE)
    measured = {
        "pairs": int(y.size),
        "positive_share": float(y.mean()),
        "log_loss": float(-np.mean(y * np.log(predicted) + (1 - y) * np.log(1 - predicted))),
        "brier_score": float(np.mean((predicted - y) ** 2)),
    }
    return Calibration(
        method, _floats(knots), _floats(probabilities), {**(facts or {}), **measured}
    )


def calibration_to_json(calibration: Calibration) -> bytes:
    """`calibration.json` as stored."""
    return (json.dumps(asdict(calibration), indent=2) + "\n").encode()


def calibration_from_json(content: bytes) -> Calibration:
    """Parse `calibration.json`; BundleFormatError where it is not one."""
    try:
        values = json.loads(content)
        return Calibration(
            method=values["method"],
            knots=tuple(float(knot) for knot in values["knots"]),
            probabilities=tuple(float(value) for value in values["probabilities"]),
            facts=dict(values["facts"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BundleFormatError(f"calibration.json is not a calibration: {error}") from error


def _logistic(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Knots along the curve of the fitted logistic function."""
    design = np.stack([x, np.ones_like(x)], axis=1)
    weights = np.zeros(2)
    ridge = _RIDGE * np.eye(2)
    for _ in range(_NEWTON_STEPS):
        p = _sigmoid(design @ weights)
        gradient = design.T @ (p - y) + ridge @ weights
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + ridge
        step = np.linalg.solve(curvature, gradient)
        # A full Newton step can overshoot where the labels separate; a bounded one converges.
        weights -= step / max(1.0, float(np.abs(step).max()))
    if weights[0] < 0:
        raise ValueError("more relevant tracks are less often right: nothing to calibrate")
    knots = np.linspace(_logit(_EDGE), _logit(1 - _EDGE), 129)
    return knots, _sigmoid(weights[0] * knots + weights[1])


def _isotonic(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Pool adjacent violators; one knot per pool, at its mean."""
    order = np.argsort(x, kind="stable")
    pools: list[tuple[float, float, int]] = []
    for position, truth in zip(x[order], y[order], strict=True):
        total_x, total_y, count = float(position), float(truth), 1
        while pools and (
            pools[-1][1] * count >= total_y * pools[-1][2]
            or pools[-1][0] / pools[-1][2] >= position
        ):
            last = pools.pop()
            total_x, total_y, count = total_x + last[0], total_y + last[1], count + last[2]
        pools.append((total_x, total_y, count))
    knots = np.asarray([pool[0] / pool[2] for pool in pools])
    return knots, np.asarray([pool[1] / pool[2] for pool in pools])


def _logit(relevance: ArrayLike) -> Any:
    bounded = np.clip(np.asarray(relevance, dtype=np.float64), _EDGE, 1 - _EDGE)
    return np.log(bounded / (1 - bounded))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)), dtype=np.float64)


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
