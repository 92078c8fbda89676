"""A label over the whole library: does it mean anything to this model?

Legend: T tracks, E embedding width.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.tables import Track
from service.errors import NotFound
from service.inference.encoder import EncoderHandle
from service.search.languages import language_warnings
from service.tagging.scoring import LabelScorer, Scores
from service.tagging.service import TaggingService
from service.tagging.store import StoredVocabulary, get_vocabulary
from service.tagging.stored import iterate_track_vectors
from service.tagging.vocabulary import Group, Label, LabelSet

BINS = 20


class GroupNotFound(NotFound):
    code, default_message = "group_not_found", "The vocabulary has no group of this name."


@dataclass(frozen=True)
class ScoredTrack:
    """A track at one end of a distribution."""

    track: Track
    score: float
    relevance: float | None
    probability: float | None
    assigned: bool


@dataclass(frozen=True)
class Distribution:
    """A label over all tracks that have vectors.

    `relevances` and `probabilities` count tracks in 20 equal bins from 0 to 1; `threshold` is what
    the label's probability (relevance, without calibration) must reach to be assigned.
    """

    vocabulary: str
    version: int
    group: str
    label: str
    in_vocabulary: bool
    weak: bool
    choice: str
    threshold: float
    tracks: int
    assigned: int
    share: float
    relevances: list[int] | None
    probabilities: list[int] | None
    top: list[ScoredTrack]
    bottom: list[ScoredTrack]
    model_id: str
    warnings: list[str]


class DistributionService:
    """Scores one label against every track."""

    def __init__(self, database: Database, tagging: TaggingService, encoder: EncoderHandle) -> None:
        self._database = database
        self._tagging = tagging
        self._encoder = encoder

    async def get_distribution(
        self, name: str, group: str, label: str, *, version: int | None = None, ends: int = 5
    ) -> Distribution:
        """Of a label in the group, or of a new one as if it were in it; `ends` tracks at each end.

        Raises VocabularyNotFound, GroupNotFound, InvalidRequest.
        """
        encoder = self._encoder.get()
        stored = await asyncio.to_thread(self._get, name, version)
        known_group = stored.labels.find(group)
        if known_group is None:
            raise GroupNotFound(group=group)
        known = known_group.find(label)
        wanted = known or Label(label.strip())
        scorer = await self._tagging.scorer(LabelSet((_rivals(known_group, wanted),)))
        warnings = language_warnings([wanted.label], encoder.languages)
        return await asyncio.to_thread(
            self._measure, stored, scorer, wanted, known is not None, ends, warnings
        )

    def _get(self, name: str, version: int | None) -> StoredVocabulary:
        with self._database.read() as session:
            return get_vocabulary(session, name, version)

    def _measure(
        self,
        stored: StoredVocabulary,
        scorer: LabelScorer,
        wanted: Label,
        is_known: bool,
        ends: int,
        warnings: list[str],
    ) -> Distribution:
        placed = next(place for place in scorer.placed if place.label == wanted)
        model_id = self._encoder.get().model_id
        found = _Found(placed.column, ends)
        with self._database.read() as session:
            for pks, vectors in iterate_track_vectors(session, model_id):
                found.add(pks, scorer.score(vectors))
            top, bottom = found.ends(session)
        return Distribution(
            vocabulary=stored.name,
            version=stored.version,
            group=placed.group.name,
            label=wanted.label,
            in_vocabulary=is_known,
            weak=wanted.weak,
            choice=placed.group.choice,
            threshold=scorer.threshold(placed),
            tracks=found.tracks,
            assigned=found.assigned,
            share=found.assigned / max(found.tracks, 1),
            relevances=found.relevances,
            probabilities=found.probabilities,
            top=top,
            bottom=bottom,
            model_id=model_id,
            warnings=warnings,
        )


_Row = tuple[float, int, float | None, float | None, bool]


class _Found:
    """What has been seen of one label so far."""

    def __init__(self, column: int, ends: int) -> None:
        self._column = column
        self._ends = ends
        self.tracks = self.assigned = 0
        self.relevances: list[int] | None = None
        self.probabilities: list[int] | None = None
        self._top: list[_Row] = []
        self._bottom: list[_Row] = []

    def add(self, pks: list[int], scores: Scores) -> None:
        column = self._column
        self.tracks += len(pks)
        self.assigned += int(scores.assigned[:, column].sum())
        self.relevances = _added(self.relevances, scores.relevances, column)
        self.probabilities = _added(self.probabilities, scores.probabilities, column)
        values = scores.scores[:, column]
        order = np.argsort(-values, kind="stable")
        ends = dict.fromkeys([*order[: self._ends].tolist(), *order[-self._ends :].tolist()])
        rows = [_row(pks[index], index, scores, column) for index in ends]
        self._top = heapq.nlargest(self._ends, [*self._top, *rows], key=_by_score)
        self._bottom = heapq.nsmallest(self._ends, [*self._bottom, *rows], key=_by_score)

    def ends(self, session: Session) -> tuple[list[ScoredTrack], list[ScoredTrack]]:
        pks = {row[1] for row in (*self._top, *self._bottom)}
        tracks = {t.pk: t for t in session.scalars(select(Track).where(Track.pk.in_(pks)))}

        def of(rows: list[_Row]) -> list[ScoredTrack]:
            return [
                ScoredTrack(tracks[pk], score, relevance, probability, assigned)
                for score, pk, relevance, probability, assigned in rows
                if pk in tracks
            ]

        return of(self._top), of(self._bottom)


def _row(pk: int, index: int, scores: Scores, column: int) -> _Row:
    relevances, probabilities = scores.relevances, scores.probabilities
    return (
        float(scores.scores[index, column]),
        pk,
        None if relevances is None else float(relevances[index, column]),
        None if probabilities is None else float(probabilities[index, column]),
        bool(scores.assigned[index, column]),
    )


def _by_score(row: _Row) -> float:
    return row[0]


def _added(
    counts: list[int] | None, values: NDArray[np.float64] | None, column: int
) -> list[int] | None:
    if values is None:
        return None
    more = np.histogram(values[:, column], bins=BINS, range=(0.0, 1.0))[0]
    before = [0] * BINS if counts is None else counts
    return [int(a + b) for a, b in zip(before, more, strict=True)]


def _rivals(group: Group, label: Label) -> Group:
    """The group as far as it decides whether the label is assigned."""
    if group.choice == "multiple":
        return replace(group, labels=(label,))
    return group if label in group.labels else replace(group, labels=(*group.labels, label))
