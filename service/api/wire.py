"""Between wire types and the types of the use cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.api import schemas
from service.database import tables
from service.errors import InvalidRequest
from service.index_sync.projection import Verification
from service.jobs.service import JobView
from service.jobs.workers import QueueProblem
from service.keywords.store import TextCheck
from service.search.query import ClipPart, Part, TextPart, TrackPart
from service.search.results import SearchOptions, SearchResult
from service.search.selection import SelectionRules
from service.search.unstored import UnstoredClip


def track_out(row: tables.Track) -> schemas.Track:
    return schemas.Track.model_validate(row)


def job_out(view: JobView) -> schemas.Job:
    job = view.job
    return schemas.Job(
        id=job.id,
        kind=job.kind,
        track_id=view.track_id,
        track_title=view.track_title,
        state=job.state,  # type: ignore[arg-type]  # the table's CHECK allows no other
        progress=job.progress,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        error_code=job.error_code,
        error_message=job.error_message,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        problem=problem_out(view.problem),
    )


def problem_out(problem: QueueProblem | None) -> schemas.Problem | None:
    return None if problem is None else schemas.Problem.model_validate(problem)


def parts_in(
    parts: Sequence[schemas.QueryPart], clips: Mapping[str, UnstoredClip] | None = None
) -> list[Part]:
    """The parts of a query; raises InvalidRequest for a clip that was not sent."""
    return [_part_in(part, clips or {}) for part in parts]


def _part_in(part: schemas.QueryPart, clips: Mapping[str, UnstoredClip]) -> Part:
    if part.text is not None:
        return TextPart(part.text, part.weight)
    if part.track_id is not None:
        return TrackPart(part.track_id, part.start_s, part.end_s, part.weight)
    assert part.clip is not None, "the wire type allows nothing else"
    clip = clips.get(part.clip)
    if clip is None:
        raise InvalidRequest(
            "A clip names a file field of a multipart form that holds this request.",
            clip=part.clip,
        )
    return ClipPart(clip.mean, clip.digest, part.weight)


def options_in(options: schemas.SearchOptions | schemas.TextSearch) -> SearchOptions:
    return SearchOptions(
        level=options.level,
        limit=options.limit,
        cursor=options.cursor,
        passages=options.passages,
        min_relevance=options.min_relevance,
        filter=options.filter,
        mode=options.mode,
        rules=_rules_in(options),
    )


def _rules_in(options: schemas.SearchOptions | schemas.TextSearch) -> SelectionRules:
    if isinstance(options, schemas.TextSearch):
        artist, album = options.max_per_artist, options.max_per_album
    else:
        limits = options.max_per or schemas.MaxPer()
        artist, album = limits.artist, limits.album
    return SelectionRules(artist, album, options.collapse_duplicates)


def search_out(result: SearchResult) -> schemas.SearchResponse:
    return schemas.SearchResponse.model_validate(result)


def index_out(state: object) -> schemas.IndexState:
    return schemas.IndexState.model_validate(state)


def verify_out(vectors: Verification, words: TextCheck) -> schemas.VerifyResult:
    return schemas.VerifyResult(
        ok=vectors.ok and words.ok,
        checked=vectors.checked,
        missing=vectors.missing,
        extra=vectors.extra,
        different=vectors.different,
        repaired=vectors.repaired,
        words=schemas.WordsCheck.model_validate(words),
    )
