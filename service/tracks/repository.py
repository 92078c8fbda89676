"""The SQL of tracks: each function works inside the caller's session and never commits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.database.folding import folded_key
from service.database.paging import Keyset, Page
from service.database.tables import CLIP_BITS, Clip, Track, TrackState
from service.errors import TrackNotFound
from service.filtering.conditions import COLUMNS, condition
from service.filtering.nodes import Filter, asks_tags
from service.filtering.tag_scope import TagScope, read_tag_scope
from service.keywords.store import refresh_track_text

TrackSort = Literal["added_at", "title", "artist", "album", "genre", "year", "duration_s"]

# PostgreSQL takes 65,535 bound parameters a statement, SQLite builds 32,766 by default.
_IN_LIST = 10_000
_BETWEEN_NAMES = "\x1f"  # no text that is looked for may hold it, so that none spans two names


@dataclass(frozen=True)
class TrackFilter:
    """What tracks to list; a None asks for nothing. Texts compare folded, as in a filter.

    `tags` is needed where `node` asks for tags: see `with_tags`.
    """

    state: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    year_from: int | None = None
    year_to: int | None = None
    text: str | None = None
    """Found anywhere in title, artist, album or file name."""
    node: Filter | None = None
    tags: TagScope | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.state is not None:
            found.append(Track.state == self.state)
        for column, wanted in (
            (Track.artist_key, self.artist),
            (Track.album_key, self.album),
            (Track.genre_key, self.genre),
        ):
            if wanted is not None:
                found.append(column == folded_key(wanted))
        if self.year_from is not None:
            found.append(Track.year >= self.year_from)
        if self.year_to is not None:
            found.append(Track.year <= self.year_to)
        if self.text:
            found.append(_names().icontains(self.text, autoescape=True))
        if self.node is not None:
            found.append(condition(self.node, self.tags))
        return found


def _names() -> ColumnElement[str]:
    """All that a track is called as one text: on SQLite each lower() of a row is a call of ours."""
    columns = (Track.title, Track.artist, Track.album, Track.filename)
    first, *others = (func.coalesce(column, "") for column in columns)
    joined: ColumnElement[str] = first
    for other in others:
        joined = joined + _BETWEEN_NAMES + other
    return joined


def with_tags(session: Session, filter_: TrackFilter, model_id: str | None) -> TrackFilter:
    """The filter, knowing the labels that tracks were given under this model if it asks for any."""
    if filter_.node is None or not asks_tags(filter_.node):
        return filter_
    if model_id is None:
        raise ValueError("a filter that asks for tags needs a model")
    return replace(filter_, tags=read_tag_scope(session, model_id))


@dataclass(frozen=True)
class ClipSpan:
    """Where a clip lies in its track."""

    track_pk: int
    position: int
    start_s: float
    end_s: float


def find_track(session: Session, track_id: str, *, lock: bool = False) -> Track | None:
    """By public id; `lock` keeps the row as it is until the commit."""
    query = select(Track).where(Track.id == track_id)
    return session.scalar(query.with_for_update() if lock else query)


def get_track(session: Session, track_id: str, *, lock: bool = False) -> Track:
    """By public id; raises TrackNotFound."""
    track = find_track(session, track_id, lock=lock)
    if track is None:
        raise TrackNotFound(track_id=track_id)
    return track


def find_track_by_sha256(session: Session, sha256: str) -> Track | None:
    return session.scalar(select(Track).where(Track.sha256 == sha256))


def find_or_create(session: Session, new: Track) -> tuple[Track, bool]:
    """The track with these bytes and whether it is `new` itself.

    The unique index decides between two uploads of the same bytes, not the look-up before it.
    """
    known = find_track_by_sha256(session, new.sha256)
    if known is not None:
        return known, False
    try:
        with session.begin_nested():
            session.add(new)
            session.flush()
            refresh_track_text(session, new.pk)
    except IntegrityError:
        known = find_track_by_sha256(session, new.sha256)
        if known is None:
            raise
        return known, False
    return new, True


def list_tracks(
    session: Session,
    *,
    filter_: TrackFilter | None = None,
    sort: TrackSort = "added_at",
    descending: bool = True,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Track]:
    """One page of tracks; raises InvalidCursor."""
    keyset = Keyset(sort, _sort_value(sort), Track.pk.expression, descending)
    wanted = (filter_ or TrackFilter()).conditions()
    # Numbers first: a sort that carries whole rows, with their peaks, takes several times as long.
    query = (
        select(Track.pk, keyset.value)
        .where(*wanted, *keyset.after(cursor))
        .order_by(*keyset.order_by())
        .limit(limit + 1)
    )
    rows = session.execute(query).all()
    page = rows[:limit]
    more = keyset.cursor(page[-1][1], page[-1][0]) if len(rows) > limit else None
    total = session.scalar(select(func.count()).select_from(Track).where(*wanted)) or 0
    found = session.scalars(select(Track).where(Track.pk.in_([row[0] for row in page])))
    by_pk = {track.pk: track for track in found}
    # On PostgreSQL one may have been deleted between the two.
    return Page([by_pk[row[0]] for row in page if row[0] in by_pk], total, more)


def live_tracks(session: Session, pks: Collection[int]) -> dict[int, Track]:
    """The ready tracks among these numbers: what an index returned and a search may show."""
    found: dict[int, Track] = {}
    for some in _chunks(list(pks)):
        query = select(Track).where(Track.pk.in_(some), Track.state == TrackState.READY)
        found.update((track.pk, track) for track in session.scalars(query))
    return found


def live_clips(session: Session, model_id: str, clip_ids: Collection[int]) -> dict[int, ClipSpan]:
    """The clips that still exist among these vector ids (pk << 20 | position)."""
    found: dict[int, ClipSpan] = {}
    low = (1 << CLIP_BITS) - 1
    for some in _chunks(
        [(number >> CLIP_BITS, number & low) for number in clip_ids], _IN_LIST // 2
    ):
        query = (
            select(Clip.track_pk, Clip.position, Clip.start_s, Clip.end_s)
            .join(Track, Track.pk == Clip.track_pk)
            .where(
                Clip.model_id == model_id,
                Track.state == TrackState.READY,
                clips_among(some),
            )
        )
        for row in session.execute(query):
            found[clip_vector_id(row.track_pk, row.position)] = ClipSpan(*row)
    return found


def clips_among(places: Sequence[tuple[int, int]]) -> ColumnElement[bool]:
    """The clips at these (track_pk, position)."""
    # The tracks are named a second time because SQLite looks up a list of pairs in no index: it
    # would walk the clips of the whole library.
    pks = {pk for pk, _ in places}
    return and_(Clip.track_pk.in_(pks), tuple_(Clip.track_pk, Clip.position).in_(places))


def clip_vector_id(track_pk: int, position: int) -> int:
    """The number that a clip's vector has in the index of clips."""
    return track_pk << CLIP_BITS | position


def _sort_value(sort: TrackSort) -> ColumnElement[Any]:
    return COLUMNS[sort]


def _chunks(items: Sequence[Any], size: int = _IN_LIST) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
