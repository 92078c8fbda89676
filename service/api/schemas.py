"""Wire types of /api/v1. Times are ISO 8601 in UTC, durations seconds, ids opaque strings."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from service.api.filter_schemas import FilterBody, FilterText
from service.tracks.editing import MAX_EXTRA_CHARS

Level = Literal["track", "passage"]
Mode = Literal["semantic", "keyword", "hybrid"]
KeywordField = Literal["title", "artist", "album", "genre", "tags", "filename"]


class Wire(BaseModel):
    """Base of all request and response bodies: an unknown field in a request is an error."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class ErrorBody(Wire):
    code: str
    message: str
    details: dict[str, Any] = Field(default_factory=dict)
    request_id: str


class ErrorResponse(Wire):
    """The one shape of every error."""

    error: ErrorBody


# --- tracks -----------------------------------------------------------------------------------


class TrackMetadata(Wire):
    """What an uploader may say about a file; it wins over the file's own tags."""

    title: Annotated[str, Field(max_length=500)] | None = None
    artist: Annotated[str, Field(max_length=500)] | None = None
    album: Annotated[str, Field(max_length=500)] | None = None
    genre: Annotated[str, Field(max_length=200)] | None = None
    year: Annotated[int, Field(ge=0, le=9999)] | None = None
    licence: Annotated[str, Field(max_length=200)] | None = None
    attribution: Annotated[str, Field(max_length=1000)] | None = None
    extra: dict[str, Any] | None = Field(
        None, description="The caller's own keys, kept as given; 32 kB of JSON at most."
    )

    @field_validator("extra")
    @classmethod
    def _is_small(cls, extra: dict[str, Any] | None) -> dict[str, Any] | None:
        if extra is not None and len(json.dumps(extra)) > MAX_EXTRA_CHARS:
            raise ValueError("the extra fields hold too much")
        return extra


class Track(Wire):
    id: str
    title: str | None
    artist: str | None
    album: str | None
    genre: str | None
    year: int | None
    licence: str | None
    attribution: str | None
    extra: dict[str, Any]
    filename: str
    media_type: str
    format: str | None
    codec: str | None
    sample_rate_hz: int | None
    channels: int | None
    size_bytes: int
    sha256: str
    duration_s: float | None
    analysed_s: float | None = Field(description="How much of the track could be searched.")
    state: Literal["pending", "ready", "failed"]
    error_code: str | None
    error_message: str | None
    warnings: list[str]
    added_at: datetime
    updated_at: datetime


class TrackPage(Wire):
    items: list[Track]
    total: int
    next_cursor: str | None


class Problem(Wire):
    """Why something that was asked for does not get on, although nothing refused it."""

    code: str = Field(description="Stable: no_worker, worker_failed or model_not_loaded.")
    message: str


class Job(Wire):
    id: str
    kind: str = Field(description="embed: analyse a track; tag: tag the library again.")
    track_id: str | None = Field(description="Null for a job about the whole library.")
    track_title: str | None
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float = Field(ge=0, le=1)
    attempts: int
    max_attempts: int
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    problem: Problem | None = Field(
        None, description="Why it waits for nobody; null while a worker is there to do it."
    )


class JobPage(Wire):
    items: list[Job]
    total: int
    next_cursor: str | None
    counts: dict[str, int] = Field(description="Jobs per state, over all pages.")


class UploadResult(Wire):
    track: Track
    job: Job | None = Field(description="The job that embeds the track; none for a known track.")
    duplicate: bool = Field(description="The same bytes were here already.")


class TrackPassage(Wire):
    """One analysed window of a track; scored when the request asked for a text."""

    start_s: float
    end_s: float
    score: float | None
    relevance: float | None


class TrackPassages(Wire):
    items: list[TrackPassage] = Field(description="In order of time.")
    model_id: str


class Waveform(Wire):
    duration_s: float | None
    peaks: list[int] = Field(description="Peak amplitude per equal slice of the track, 0 to 255.")


# --- search -----------------------------------------------------------------------------------


class QueryPart(Wire):
    """A text, a stored track (whole, or the seconds start_s to end_s), or a clip; with a weight.

    A negative weight takes away what resembles the part.
    """

    text: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    track_id: str | None = None
    start_s: Annotated[float, Field(ge=0)] | None = None
    end_s: Annotated[float, Field(gt=0)] | None = None
    clip: Annotated[str, Field(min_length=1, max_length=50)] | None = Field(
        None, description="The name of a file field beside this JSON in a multipart form."
    )
    weight: Annotated[float, Field(ge=-1, le=1)] = 1.0

    @model_validator(mode="after")
    def _exactly_one(self) -> QueryPart:
        if sum(part is not None for part in (self.text, self.track_id, self.clip)) != 1:
            raise ValueError("give either text, track_id or clip")
        if self.track_id is None and (self.start_s is not None or self.end_s is not None):
            raise ValueError("start_s and end_s belong to a track_id")
        if self.start_s is not None and self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError("end_s must lie after start_s")
        if self.weight == 0:
            raise ValueError("a weight of 0 has no effect; leave the part out")
        return self


class MaxPer(Wire):
    """At most so many hits of one artist, and of one album, by their names."""

    artist: Annotated[int, Field(ge=1, le=100)] | None = None
    album: Annotated[int, Field(ge=1, le=100)] | None = None


class RankingOptions(Wire):
    """How hits are ranked and which of them are shown."""

    mode: Mode = Field(
        "semantic",
        description="By sound, by the words of the texts, or both fused by reciprocal rank.",
    )
    level: Level = "track"
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: str | None = None
    passages: Annotated[int, Field(ge=0, le=20)] = Field(
        3, description="Best passages given with each track."
    )
    min_relevance: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Hits by sound must have at least this relevance."
    )
    collapse_duplicates: bool = Field(
        False, description="Show one of several copies of a recording, and name the others."
    )


class SearchOptions(RankingOptions):
    max_per: MaxPer | None = None
    filter: FilterBody | None = Field(None, description="Only these tracks are ranked.")


class SearchRequest(SearchOptions):
    query: Annotated[list[QueryPart], Field(min_length=1, max_length=16)]


class TextSearch(RankingOptions):
    """A search for one text, as the parameters of an address."""

    q: Annotated[str, Field(min_length=1, max_length=1000)]
    filter: FilterText | None = None
    max_per_artist: Annotated[int, Field(ge=1, le=100)] | None = None
    max_per_album: Annotated[int, Field(ge=1, le=100)] | None = None


class AudioSearchRequest(SearchOptions):
    """Options beside an unstored clip: the clip's own weight, and parts to mix with it."""

    weight: Annotated[float, Field(ge=-1, le=1)] = 1.0
    query: Annotated[list[QueryPart], Field(max_length=15)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _counts(self) -> AudioSearchRequest:
        if self.weight == 0:
            raise ValueError("a weight of 0 has no effect; leave the clip out")
        return self


class Passage(Wire):
    start_s: float
    end_s: float
    score: float
    relevance: float | None


class PartShare(Wire):
    """What one part of the query says of a hit; the contributions add up to the hit's score."""

    index: int = Field(description="The part's place in the query, from 0.")
    score: float = Field(description="The hit's cosine to this part alone.")
    relevance: float | None
    contribution: float = Field(description="What the part adds to the score, or takes from it.")


class KeywordEvidence(Wire):
    rank: int = Field(description="The track's place among those that words found, from 1.")
    fields: list[KeywordField] = Field(description="Where words of the query stand.")


class Why(Wire):
    """What made this a hit."""

    parts: list[PartShare] = Field(description="In the order of the query; empty by words alone.")
    keyword: KeywordEvidence | None
    semantic_rank: int | None = Field(
        description="The hit's place by sound, from 1; null where it is not among those looked at."
    )
    fused_score: float | None = Field(description="The sum of reciprocal ranks; hybrid only.")


class Hit(Wire):
    """A track (or, at level passage, one passage of it) with its scores.

    `score` is the similarity of the whole query, for one part its cosine; `relevance` is its rank
    among reference music for this query: 0.99 means closer than 99 % of reference clips. Both are
    null where words alone found it.
    """

    rank: int
    score: float | None
    relevance: float | None
    track: Track
    passages: list[Passage]
    why: Why
    duplicates: list[str] = Field(
        description="Ids of tracks left out as copies of this one (collapse_duplicates)."
    )


class SearchResponse(Wire):
    items: list[Hit]
    next_cursor: str | None
    match: Literal["good", "weak", "none"] = Field(
        description=(
            "Whether the answer holds what was asked for: the best hit's relevance is at least "
            "0.9, or words that make up half of the query's rarity were found; weak: it does not; "
            "none: there are no hits."
        )
    )
    mode: Mode
    level: Level
    model_id: str | None = Field(description="Null where no model was needed.")
    index_seq: int
    approximate: bool
    took_ms: float
    warnings: list[str] = Field(default_factory=list)


# --- embeddings ---------------------------------------------------------------------------------


class EmbeddingRequest(Wire):
    texts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1000)]],
        Field(min_length=1, max_length=256),
    ]


class EmbeddingResponse(Wire):
    embeddings: list[list[float]]
    model_id: str
    embed_dim: int


class AudioEmbeddingResponse(Wire):
    mean: list[float]
    clips: list[list[float]]
    starts_s: list[float]
    ends_s: list[float]
    model_id: str
    embed_dim: int
    warnings: list[str] = Field(default_factory=list)


# --- operation ----------------------------------------------------------------------------------


class IndexState(Wire):
    model_id: str
    tracks: int = Field(description="Tracks in this process's index.")
    clips: int
    applied_seq: int = Field(description="The last change that this process's index holds.")
    latest_seq: int = Field(description="The last change in SQL.")
    engine: str
    approximate: bool
    snapshot_age_s: float | None


class WordsCheck(Wire):
    """The stored words of tracks, which keyword search reads, against the tracks."""

    ok: bool
    checked: int
    missing: int
    extra: int
    different: int
    repaired: int


class VerifyResult(Wire):
    ok: bool = Field(description="Vectors and words both equal SQL.")
    checked: int
    missing: int
    extra: int
    different: int
    repaired: int = Field(description="Vectors that were set right; only a repair does that.")
    words: WordsCheck


class Health(Wire):
    status: Literal["ok", "starting", "failing"]
    checks: dict[str, str] = Field(default_factory=dict)
    workers: dict[str, int] = Field(
        default_factory=dict, description="Workers of all processes in each state."
    )
    problem: Problem | None = Field(
        None, description="Why uploads would wait for nobody, although queries are answered."
    )
    version: str
