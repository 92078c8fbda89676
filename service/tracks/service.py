"""What may be done with stored tracks: read, list, edit, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select

from service.blobs.store import BlobStore
from service.database.engine import Database
from service.database.paging import Page
from service.database.tables import Clip, Track
from service.index_sync.changes import append_change
from service.keywords.store import refresh_track_text
from service.tracks import repository
from service.tracks.blob_owners import release_blob
from service.tracks.editing import set_fields
from service.tracks.metadata import clean_values
from service.tracks.repository import ClipSpan, TrackFilter, TrackSort


class TrackService:
    """Use cases on tracks; rows come back detached from any session, fully loaded."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def get_track(self, track_id: str) -> Track:
        """Raises TrackNotFound."""
        with self._database.read() as session:
            return repository.get_track(session, track_id)

    def find_track_by_sha256(self, sha256: str) -> Track | None:
        with self._database.read() as session:
            return repository.find_track_by_sha256(session, sha256)

    def list_tracks(
        self,
        *,
        filter_: TrackFilter | None = None,
        model_id: str | None = None,
        sort: TrackSort = "added_at",
        descending: bool = True,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Track]:
        """One page, `model_id` being the one whose tags a filter asks for; raises InvalidCursor."""
        with self._database.read() as session:
            return repository.list_tracks(
                session,
                filter_=repository.with_tags(session, filter_ or TrackFilter(), model_id),
                sort=sort,
                descending=descending,
                limit=limit,
                cursor=cursor,
            )

    def patch_track(self, track_id: str, values: Mapping[str, Any]) -> Track:
        """Change the given fields, None clears one; raises TrackNotFound, InvalidRequest."""
        cleaned = clean_values(values)
        with self._database.write() as session:
            track = repository.get_track(session, track_id, lock=True)
            set_fields(track, cleaned)
            session.flush()
            refresh_track_text(session, track.pk)
            session.refresh(track)
        return track

    def delete_track(self, track_id: str) -> None:
        """Remove the track with its clips, vectors, jobs and bytes; raises TrackNotFound.

        When this returns no search can return the track: rows and a numbered `delete` went in one
        commit, and every search reads its hits' rows.
        """
        with self._database.write() as session:
            track = repository.get_track(session, track_id, lock=True)
            session.execute(delete(Track).where(Track.pk == track.pk))
            refresh_track_text(session, track.pk)
            append_change(session, "delete", track.pk, model_id=None)
        release_blob(self._database, self._blobs, track.sha256)

    def list_passages(self, track_id: str, model_id: str) -> list[ClipSpan]:
        """The track's clips in order; raises TrackNotFound."""
        with self._database.read() as session:
            track = repository.get_track(session, track_id)
            query = (
                select(Clip.track_pk, Clip.position, Clip.start_s, Clip.end_s)
                .where(Clip.track_pk == track.pk, Clip.model_id == model_id)
                .order_by(Clip.position)
            )
            return [ClipSpan(*row) for row in session.execute(query)]
