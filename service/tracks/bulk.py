"""The same edit to many tracks, or the end of many, in one call.

Tracks are worked through in parts, each in a transaction of its own, so that nobody waits long for
the database. A call that was cut off has done whole parts; asking again finishes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from service.blobs.store import BlobStore
from service.database.engine import Database
from service.database.tables import Track
from service.errors import Conflict, InvalidRequest
from service.ids import is_id
from service.index_sync.changes import append_change
from service.keywords.store import refresh_track_texts
from service.tracks.blob_owners import release_blob
from service.tracks.editing import merge_extra, set_fields
from service.tracks.metadata import clean_values
from service.tracks.repository import TrackFilter, with_tags

MAX_UPDATES = 10_000
MAX_DELETES = 2_000
"""Fewer than edits: each file may have to be removed from a store over the network."""

_PART = 200
_IDS = 2_000


class TooManyTracks(InvalidRequest):
    code = "too_many_tracks"
    default_message = "This is about more tracks than one call may change; narrow the filter."


class SelectionChanged(Conflict):
    code = "selection_changed"
    default_message = "The number of tracks is not the expected one; look again before changing."


@dataclass(frozen=True)
class Selection:
    """Tracks by their ids, or all that pass a filter.

    `expected` refuses to change any other number of tracks than a person was shown.
    """

    ids: Sequence[str] | None = None
    filter_: TrackFilter | None = None
    model_id: str | None = None
    expected: int | None = None


@dataclass(frozen=True)
class BulkOutcome:
    """`matched` tracks, of which `changed` were; ids that no track has, and tracks left alone."""

    matched: int
    changed: int
    missing: list[str] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Chosen:
    pks: list[int]
    missing: list[str]


class BulkService:
    """Use cases on many tracks at once."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def update(
        self, selection: Selection, values: Mapping[str, Any], *, dry_run: bool = False
    ) -> BulkOutcome:
        """Set fields on each track; a None clears one.

        `extra` is merged: each key is set, None removes one, other keys stay. A track whose `extra`
        would grow past the limit is left alone and named. Raises InvalidRequest, TooManyTracks,
        SelectionChanged.
        """
        cleaned = clean_values(values)
        extra = cleaned.pop("extra", None) or {}
        chosen = self._choose(selection, MAX_UPDATES)
        if dry_run:
            return BulkOutcome(len(chosen.pks), 0, chosen.missing)
        changed = 0
        too_large: list[str] = []
        for pks in _parts(chosen.pks):
            with self._database.write() as session:
                changed += _update(session, pks, cleaned, extra, too_large)
        return BulkOutcome(len(chosen.pks), changed, chosen.missing, too_large)

    def delete(self, selection: Selection, *, dry_run: bool = False) -> BulkOutcome:
        """Remove each track with its clips, vectors, jobs and bytes, as TrackService does with one.

        Raises TooManyTracks, SelectionChanged.
        """
        chosen = self._choose(selection, MAX_DELETES)
        if dry_run:
            return BulkOutcome(len(chosen.pks), 0, chosen.missing)
        changed = 0
        for pks in _parts(chosen.pks):
            with self._database.write() as session:
                hashes = _delete(session, pks)
            for sha256 in hashes:
                release_blob(self._database, self._blobs, sha256)
            changed += len(hashes)
        return BulkOutcome(len(chosen.pks), changed, chosen.missing)

    def _choose(self, selection: Selection, most: int) -> _Chosen:
        with self._database.read() as session:
            if selection.ids is not None:
                chosen = _by_ids(session, selection.ids)
            else:
                wanted = selection.filter_ or TrackFilter()
                wanted = with_tags(session, wanted, selection.model_id)
                chosen = _by_filter(session, wanted, most)
        matched = len(chosen.pks)
        if matched > most:
            raise TooManyTracks(matched=matched, limit=most)
        if selection.expected is not None and selection.expected != matched:
            raise SelectionChanged(matched=matched, expected=selection.expected)
        return chosen


def _by_ids(session: Session, ids: Sequence[str]) -> _Chosen:
    wanted = list(dict.fromkeys(ids))
    possible = [one for one in wanted if is_id(one)]
    found: dict[str, int] = {}
    for start in range(0, len(possible), _IDS):
        query = select(Track.id, Track.pk).where(Track.id.in_(possible[start : start + _IDS]))
        found.update((row.id, row.pk) for row in session.execute(query))
    missing = [one for one in wanted if one not in found]
    return _Chosen(sorted(found.values()), missing)


def _by_filter(session: Session, wanted: TrackFilter, most: int) -> _Chosen:
    conditions = wanted.conditions()
    matched = session.scalar(select(func.count()).select_from(Track).where(*conditions)) or 0
    if matched > most:
        raise TooManyTracks(matched=matched, limit=most)
    query = select(Track.pk).where(*conditions).order_by(Track.pk)
    return _Chosen(list(session.scalars(query)), [])


def _update(
    session: Session,
    pks: Sequence[int],
    values: Mapping[str, Any],
    extra: Mapping[str, Any],
    too_large: list[str],
) -> int:
    changed: list[int] = []
    for track in _locked(session, pks):
        if extra and not merge_extra(track, extra):
            too_large.append(track.id)
            continue
        set_fields(track, values)
        if session.is_modified(track):
            changed.append(track.pk)
    session.flush()
    refresh_track_texts(session, changed)
    return len(changed)


def _delete(session: Session, pks: Sequence[int]) -> list[str]:
    """Rows, words, and a numbered change for each, in one commit; returns the files' hashes."""
    tracks = _locked(session, pks)
    found = [track.pk for track in tracks]
    hashes = [track.sha256 for track in tracks]
    session.execute(delete(Track).where(Track.pk.in_(found)))
    refresh_track_texts(session, found)
    for pk in found:
        append_change(session, "delete", pk, model_id=None)
    return hashes


def _locked(session: Session, pks: Sequence[int]) -> list[Track]:
    """Those that are still there, held until the commit; all of them before any other lock."""
    query = select(Track).where(Track.pk.in_(pks)).order_by(Track.pk).with_for_update()
    return list(session.scalars(query))


def _parts(pks: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(pks), _PART):
        yield pks[start : start + _PART]
