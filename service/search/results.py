"""What a search is asked and what it answers, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from models.interface import Vectors
from models.relevance import RelevanceScale, relevance_scale
from service.database.tables import Track
from service.filtering.nodes import Filter

Level = Literal["track", "passage"]


@dataclass(frozen=True)
class SearchOptions:
    level: Level = "track"
    limit: int = 20
    cursor: str | None = None
    passages: int = 3
    min_relevance: float | None = None
    filter: Filter | None = None


@dataclass(frozen=True)
class FoundPassage:
    """A passage; its scores are None where there was nothing to score it against."""

    start_s: float
    end_s: float
    score: float | None
    relevance: float | None


@dataclass(frozen=True)
class TrackPassages:
    items: list[FoundPassage]
    model_id: str


@dataclass(frozen=True)
class FoundTrack:
    rank: int
    score: float
    relevance: float | None
    track: Track
    passages: list[FoundPassage]


@dataclass(frozen=True)
class SearchResult:
    """One page of an answer; `index_seq` is the last change that the index had seen."""

    items: list[FoundTrack]
    next_cursor: str | None
    level: Level
    model_id: str
    index_seq: int
    approximate: bool
    took_ms: float
    warnings: list[str] = field(default_factory=list)


class Yardstick:
    """Relevance of scores under one query; None throughout where the bundle has no reference."""

    def __init__(self, query: Vectors, reference: Vectors) -> None:
        self._scale: RelevanceScale | None = None
        if len(reference) > 0:
            self._scale = relevance_scale(query, reference)

    def relevance(self, score: float) -> float | None:
        return None if self._scale is None else self._scale.relevance(score)

    def admits(self, score: float, min_relevance: float | None) -> bool:
        if min_relevance is None:
            return True
        relevance = self.relevance(score)
        return relevance is None or relevance >= min_relevance
