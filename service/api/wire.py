"""Between wire types and the types of the use cases."""

from __future__ import annotations

from collections.abc import Sequence

from service.api import schemas
from service.database import tables
from service.jobs.service import JobView
from service.search.query import Part, TextPart, TrackPart
from service.search.results import SearchOptions, SearchResult
from service.search.selection import SelectionRules


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
    )


def parts_in(parts: Sequence[schemas.QueryPart]) -> list[Part]:
    return [_part_in(part) for part in parts]


def _part_in(part: schemas.QueryPart) -> Part:
    if part.text is not None:
        return TextPart(part.text, part.weight)
    assert part.track_id is not None, "the wire type allows nothing else"
    return TrackPart(part.track_id, part.start_s, part.end_s, part.weight)


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
