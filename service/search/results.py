"""What a search is asked and what it answers, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from service.database.tables import Track
from service.filtering.nodes import Filter
from service.keywords.document import Field
from service.search.matching import Match
from service.search.scoring import PartShare
from service.search.selection import SelectionRules

Level = Literal["track", "passage"]
Mode = Literal["semantic", "keyword", "hybrid"]


@dataclass(frozen=True)
class SearchOptions:
    level: Level = "track"
    limit: int = 20
    cursor: str | None = None
    passages: int = 3
    min_relevance: float | None = None
    filter: Filter | None = None
    mode: Mode = "semantic"
    rules: SelectionRules = field(default_factory=SelectionRules)


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
class KeywordEvidence:
    """Where a hit stood among those that words found, and which of its fields hold any."""

    rank: int
    fields: list[Field]


@dataclass(frozen=True)
class Why:
    """What made a hit one; a rank is None where that ranking (or its window) does not hold it."""

    parts: list[PartShare] = field(default_factory=list)
    semantic_rank: int | None = None
    keyword: KeywordEvidence | None = None
    fused_score: float | None = None


@dataclass(frozen=True)
class FoundTrack:
    """A hit; its scores are None where no model has scored it."""

    rank: int
    score: float | None
    relevance: float | None
    track: Track
    passages: list[FoundPassage]
    why: Why
    duplicates: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SearchResult:
    """One page of an answer; `index_seq` is the last change that the index had seen.

    `model_id` is None where no model was needed.
    """

    items: list[FoundTrack]
    next_cursor: str | None
    match: Match
    mode: Mode
    level: Level
    model_id: str | None
    index_seq: int
    approximate: bool
    took_ms: float
    warnings: list[str] = field(default_factory=list)
