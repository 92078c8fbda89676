"""The ranking of tracks or passages by what they sound like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.interface import Vectors
from service.database.engine import Database
from service.database.tables import CLIP_BITS
from service.search.allowed import AllowedTracks, Ids
from service.search.cursor import Position
from service.search.ranking import Candidates, Page, rank_page
from service.search.results import Level
from service.search.scoring import Scorer
from service.search.vectors import clip_vectors, score_all, track_vectors


class Index(Protocol):
    """What search needs of an index."""

    @property
    def applied_seq(self) -> int: ...
    def search_tracks(self, query: Vectors, k: int, among: Ids | None) -> Candidates: ...
    def search_clips(self, query: Vectors, k: int, among: Ids | None) -> Candidates: ...


def track_of(hit_id: int, level: Level) -> int:
    """The number of a hit's track: a hit is a track or, at level passage, a clip of one."""
    return hit_id if level == "track" else hit_id >> CLIP_BITS


@dataclass(frozen=True, eq=False)
class SemanticRanking:
    """All hits of one query under one model, exactly scored, best first, in pages."""

    database: Database
    index: Index
    scorer: Scorer
    model_id: str
    level: Level
    excluded_pks: frozenset[int]
    allowed: AllowedTracks | None
    min_relevance: float | None

    def page(self, limit: int, after: Position | None = None) -> Page:
        """The `limit` best after a position."""
        by_track = self.level == "track"
        propose = self.index.search_tracks if by_track else self.index.search_clips
        among = None
        if self.allowed is not None:
            among = self.allowed.pks if by_track else self.allowed.clip_ids()
        return rank_page(
            lambda k: propose(self.scorer.proposal, k, among),
            self._score,
            limit=limit,
            after=after,
            admits=lambda score: self.scorer.admits(score, self.min_relevance),
            bound=self.scorer.bound,
        )

    def _score(self, hit_ids: Sequence[int]) -> Mapping[int, float]:
        wanted = [i for i in hit_ids if track_of(i, self.level) not in self.excluded_pks]
        read = track_vectors if self.level == "track" else clip_vectors
        with self.database.read() as session:
            return score_all(self.scorer.score, read(session, self.model_id, wanted))
