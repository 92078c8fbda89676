"""Writes the values of many tracks' labels at once: a library has millions of them.

Legend: T tracks, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.tagging.scoring import Scores

_COLUMNS = ("track_pk", "label_pk", "score", "relevance", "probability", "assigned")
_INSERT = {
    "sqlite": f"INSERT INTO tag_values ({', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
    # One statement with arrays: a statement for each of some ten thousand rows is much slower.
    "postgresql": (
        f"INSERT INTO tag_values ({', '.join(_COLUMNS)}) "  # noqa: S608
        "SELECT * FROM unnest(CAST(:track_pk AS bigint[]), CAST(:label_pk AS integer[]), "
        "CAST(:score AS real[]), CAST(:relevance AS real[]), CAST(:probability AS real[]), "
        "CAST(:assigned AS boolean[]))"
    ),
}
_SMALLEST = 1e-30  # nearer to zero PostgreSQL's REAL refuses a value, and it means nothing


def insert_values(
    session: Session, track_pks: Sequence[int], label_pks: Sequence[int], scores: Scores
) -> None:
    """Store scores [T, L] of tracks that have none of these labels' values yet."""
    shape = scores.scores.shape
    columns: list[list[Any]] = [
        np.repeat(np.asarray(track_pks, dtype=np.int64), shape[1]).tolist(),
        np.tile(np.asarray(label_pks, dtype=np.int64), shape[0]).tolist(),
        _stored(scores.scores),
        *(
            [None] * (shape[0] * shape[1]) if values is None else _stored(values)
            for values in (scores.relevances, scores.probabilities)
        ),
        scores.assigned.ravel().tolist(),
    ]
    if session.get_bind().dialect.name == "sqlite":
        rows = list(zip(*columns, strict=True))
        session.connection().exec_driver_sql(_INSERT["sqlite"], rows)
    else:
        session.execute(text(_INSERT["postgresql"]), dict(zip(_COLUMNS, columns, strict=True)))


def _stored(values: NDArray[np.float64]) -> list[float]:
    kept: list[float] = np.where(np.abs(values) < _SMALLEST, 0.0, values).ravel().tolist()
    return kept
