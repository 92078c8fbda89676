"""What tagging answers: labels with their scores, by group, and along time.

Legend: N passages, L labels, E embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np

from models.interface import Vectors
from service.tagging.scoring import LabelScorer, Scores
from service.tagging.vocabulary import Choice

Measure = Literal["probability", "relevance", "score"]

MAX_TIMELINE_VALUES = 50_000
"""Labels times passages of one answer; the labels that fit best are kept."""


@dataclass(frozen=True)
class TagScore:
    """A label against one target; `rank` counts from 1 within its group."""

    group: str
    label: str
    rank: int
    score: float
    relevance: float | None
    probability: float | None
    assigned: bool
    weak: bool


@dataclass(frozen=True)
class TagGroup:
    """A group's labels, best first."""

    group: str
    choice: Choice
    items: list[TagScore]

    @property
    def assigned(self) -> list[str]:
        return [item.label for item in self.items if item.assigned]


@dataclass(frozen=True)
class TimelineRow:
    """One label along time: a value for each passage."""

    group: str
    label: str
    values: list[float]


@dataclass(frozen=True)
class Timeline:
    """Labels along time, in the order of the items; `measure` says what the values are."""

    measure: Measure
    starts_s: list[float]
    ends_s: list[float]
    rows: list[TimelineRow]
    omitted_labels: int


@dataclass(frozen=True)
class TagResult:
    """All scores best first, and the same by group."""

    items: list[TagScore]
    groups: list[TagGroup]
    timeline: Timeline | None
    vocabulary: str | None
    version: int | None
    model_id: str
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StoredTags:
    """A track's tags as SQL has them; no groups before it was tagged."""

    track_id: str
    vocabulary: str | None
    version: int | None
    is_current: bool
    tagged_at: datetime | None
    groups: list[TagGroup]
    timeline: Timeline | None
    model_id: str


def group_scores(scorer: LabelScorer, scores: Scores) -> list[TagGroup]:
    """The groups of the first of the targets."""
    order_values = scores.order_values[0]
    found = []
    for group in scorer.labels.groups:
        placed = [place for place in scorer.placed if place.group is group]
        placed.sort(key=lambda place: -order_values[place.column])
        items = []
        for rank, place in enumerate(placed, start=1):
            column = place.column
            relevances, probabilities = scores.relevances, scores.probabilities
            items.append(
                TagScore(
                    group=group.name,
                    label=place.label.label,
                    rank=rank,
                    score=float(scores.scores[0, column]),
                    relevance=None if relevances is None else float(relevances[0, column]),
                    probability=None if probabilities is None else float(probabilities[0, column]),
                    assigned=bool(scores.assigned[0, column]),
                    weak=place.label.weak,
                )
            )
        found.append(TagGroup(group.name, group.choice, items))
    return found


def best_first(groups: Sequence[TagGroup]) -> list[TagScore]:
    """The labels of all groups in one list."""
    items = [item for group in groups for item in group.items]
    return sorted(items, key=lambda i: -(i.score if i.relevance is None else i.relevance))


def build_timeline(
    scorer: LabelScorer,
    items: Sequence[TagScore],
    vectors: Vectors,
    starts_s: Sequence[float],
    ends_s: Sequence[float],
) -> Timeline:
    """The items along the passages [N, E]; the last of them are left out of a long answer."""
    scores = scorer.score(vectors)
    measure: Measure = "score"
    values = scores.scores
    for name, found in (("relevance", scores.relevances), ("probability", scores.probabilities)):
        if found is not None:
            measure, values = name, found  # type: ignore[assignment]
    kept = items[: max(MAX_TIMELINE_VALUES // max(len(vectors), 1), 1)]
    columns = {(place.group.name, place.label.label): place.column for place in scorer.placed}
    rounded = np.round(values, 4)
    rows = [
        TimelineRow(item.group, item.label, rounded[:, columns[item.group, item.label]].tolist())
        for item in kept
    ]
    return Timeline(measure, list(starts_s), list(ends_s), rows, len(items) - len(kept))
