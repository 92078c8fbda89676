"""Several weighted parts become one query vector.

Legend: E embedding width, P parts.

    q = sum_p w_p * u_p,  query = q / |q|

Each part is a unit vector u_p, so a weight means the same for a text, a track and a clip. A
negative weight subtracts: what resembles that part scores lower by |w_p| times its similarity
(before the common rescaling). The result has unit norm, so scores stay cosines and min_relevance
keeps its meaning whatever the number of parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.interface import Vectors
from service.errors import InvalidRequest

SMALLEST_NORM = 1e-3
"""Below this the parts have cancelled out and the direction that is left is rounding noise."""


class PartsCancelOut(InvalidRequest):
    code = "parts_cancel_out"
    default_message = "The parts of the query cancel each other out; change their weights."


@dataclass(frozen=True, eq=False)
class WeightedVector:
    """One part of a query: a vector [E] of any length above zero, and its weight."""

    vector: Vectors
    weight: float


def unit(vector: Vectors) -> Vectors:
    """The vector [E] at length one; PartsCancelOut where it has no direction."""
    wide = vector.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    if norm < SMALLEST_NORM:
        raise PartsCancelOut
    return (wide / norm).astype(np.float32)


def mix(parts: Sequence[WeightedVector]) -> Vectors:
    """The query vector [E] of unit norm; PartsCancelOut where nothing is left of the parts."""
    total = np.zeros(parts[0].vector.shape, dtype=np.float64)
    for part in parts:
        total += part.weight * unit(part.vector).astype(np.float64)
    return unit(total.astype(np.float32))
