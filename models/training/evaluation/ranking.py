"""Judge queries by the ranks of their right answers, against the full matrix of scores.

Legend: Q queries, N answers (tracks, or texts where tracks are the queries).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.evaluation.compare import Comparison, Statistic, compare
from models.training.evaluation.scorers import Scorer, score_texts
from models.training.evaluation.weighted import Counts, Values, weighted_mean
from models.training.manifest import ManifestEntry
from models.training.metrics import (
    Bools,
    Floats,
    chance_of_recall_of,
    chance_of_reciprocal_rank,
    retrieval_ranks,
)

RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class QueryLine:
    """One query: how many answers are right, the rank of the first of them, and who came first.

    `chance_recall` is how often a random order has a right answer among the first k.
    """

    query: str
    right: int
    answers: int
    rank: int
    teacher_rank: int | None
    best_right: str
    first: str
    chance_recall: dict[int, float]
    chance_mrr: float


@dataclass(frozen=True)
class QueryTable:
    """Queries against answers: measures by name with intervals over queries, and a line each."""

    set: str
    kind: str
    measures: dict[str, Comparison]
    median_rank: float
    teacher_median_rank: float | None
    lines: tuple[QueryLine, ...]


def judge_queries(
    name: str,
    kind: str,
    bundle: Scorer,
    teacher: Scorer | None,
    texts: Sequence[str],
    truth: Bools,
    entries: Sequence[ManifestEntry],
) -> QueryTable:
    """Judge texts [Q] by where their right tracks [Q, N] come."""
    own = score_texts(bundle, texts, entries)
    other = None if teacher is None else score_texts(teacher, texts, entries)
    answers = [entry.id for entry in entries]
    return table_of(name, kind, list_lines(texts, answers, truth, own, other))


def judge_both_ways(
    name: str,
    bundle: Scorer,
    teacher: Scorer | None,
    texts: Sequence[str],
    truth: Bools,
    entries: Sequence[ManifestEntry],
) -> list[QueryTable]:
    """Judge texts against tracks, and tracks against texts, with one set of scores."""
    own = score_texts(bundle, texts, entries)
    other = None if teacher is None else score_texts(teacher, texts, entries)
    tracks = [entry.id for entry in entries]
    turned = None if other is None else other.T
    return [
        table_of(name, "caption→clip", list_lines(texts, tracks, truth, own, other)),
        table_of(name, "clip→caption", list_lines(tracks, texts, truth.T, own.T, turned)),
    ]


def list_lines(
    queries: Sequence[str],
    answers: Sequence[str],
    truth: Bools,
    own: Floats,
    other: Floats | None,
) -> list[QueryLine]:
    """Say of each query what became of it, from scores [Q, N] of one or two systems."""
    ranks = retrieval_ranks(own, truth)
    teacher_ranks = None if other is None else retrieval_ranks(other, truth)
    return [
        line_of(
            query,
            int(truth[q].sum()),
            len(answers),
            int(ranks[q]),
            answers[int(np.where(truth[q], own[q], -np.inf).argmax())],
            answers[int(own[q].argmax())],
            None if teacher_ranks is None else int(teacher_ranks[q]),
        )
        for q, query in enumerate(queries)
    ]


def line_of(
    query: str,
    right: int,
    answers: int,
    rank: int,
    best_right: str,
    first: str,
    teacher_rank: int | None = None,
) -> QueryLine:
    """One query's line, with what a random order of so many answers would earn."""
    return QueryLine(
        query=query,
        right=right,
        answers=answers,
        rank=rank,
        teacher_rank=teacher_rank,
        best_right=best_right,
        first=first,
        chance_recall={k: chance_of_recall_of(right, answers, k) for k in RECALLS},
        chance_mrr=chance_of_reciprocal_rank(right, answers),
    )


def table_of(name: str, kind: str, lines: Sequence[QueryLine]) -> QueryTable:
    """Summarise queries; those of several tables may be put together."""
    ranks = np.array([line.rank for line in lines])
    known = [line.teacher_rank for line in lines if line.teacher_rank is not None]
    teacher = np.array(known) if len(known) == len(lines) else None
    systems = [r for r in (ranks, teacher) if r is not None]
    names = [str(i) for i in range(len(lines))]
    measures = {
        f"recall_{k}": compare(
            [_mean(r <= k) for r in systems],
            names,
            float(np.mean([line.chance_recall[k] for line in lines])),
        )
        for k in RECALLS
    }
    measures["mrr"] = compare(
        [_mean(1.0 / r) for r in systems],
        names,
        float(np.mean([line.chance_mrr for line in lines])),
    )
    return QueryTable(
        set=name,
        kind=kind,
        measures=measures,
        median_rank=float(np.median(ranks)),
        teacher_median_rank=None if teacher is None else float(np.median(teacher)),
        lines=tuple(lines),
    )


def _mean(values: NDArray[np.generic]) -> Statistic:
    def statistic(counts: Counts) -> Values:
        return weighted_mean(values, counts)

    return statistic
