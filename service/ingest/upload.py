"""From a stream of bytes to a stored track and its job.

bytes -> pending blob (hash, count) -> probe in the sandbox -> one transaction: blob placed, track
and job inserted. A kill before the commit leaves no track; what it leaves on disk is collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.orm import Session

from service.audio.results import AudioProbe
from service.blobs.store import BlobInfo, BlobStore, PendingBlob
from service.database.engine import Database
from service.database.tables import Job, Track, TrackState
from service.exchange.waiting import find_waiting_values
from service.ids import new_id
from service.jobs.queue import Priority, add_job, hurry
from service.tracks.blob_owners import lock_blob
from service.tracks.metadata import clean_filename, clean_values
from service.tracks.repository import find_or_create, find_track_by_sha256

_COPY_BYTES = 1 << 20
_UNKNOWN_MEDIA_TYPE = "application/octet-stream"
_MEDIA_TYPES = {
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "asf": "audio/x-ms-wma",
    "flac": "audio/flac",
    "matroska": "audio/webm",
    "mp3": "audio/mpeg",
    "mp4": "audio/mp4",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
}


@dataclass(frozen=True)
class Uploaded:
    """The track; `job` is None and `duplicate` True when the same bytes were here already."""

    track: Track
    job: Job | None
    duplicate: bool


class Admission(Protocol):
    """The batch through which a file comes in: it speaks inside the transaction that stores it."""

    def begin(self, session: Session) -> bool:
        """Whether the file's job is to be held; what it raises refuses the file."""
        ...

    def note(self, session: Session, uploaded: Uploaded) -> None:
        """Remember what became of the file."""
        ...


class UploadService:
    """Takes files in. All methods block: call them in a thread.

    `probe` says what a file is and raises DecodeError where it is nothing that we can decode.
    `model_id` names the model whose job is queued; it may raise Unavailable.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        probe: Callable[[Path], AudioProbe],
        model_id: Callable[[], str],
        max_bytes: int,
        max_attempts: int = 3,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._probe = probe
        self._model_id = model_id
        self.max_bytes = max_bytes
        self._max_attempts = max_attempts

    def receive(self) -> AbstractContextManager[PendingBlob]:
        """A new upload to write chunks to; hand it to `accept` within the block.

        Raises DiskFull; its `write` raises TooLarge and DiskFull.
        """
        return self._blobs.receive(self.max_bytes)

    def accept(
        self,
        pending: PendingBlob,
        *,
        filename: str,
        values: Mapping[str, Any] | None = None,
        admission: Admission | None = None,
    ) -> Uploaded:
        """Make a track of a received file; `values` (None = not said) win over the file's tags.

        Raises DecodeError, InvalidRequest, Unavailable, and what the admission raises; then nothing
        is kept.
        """
        given = clean_values({k: v for k, v in (values or {}).items() if v is not None})
        info = pending.finish()
        known = self._find_known(pending, info, admission)
        if known is not None:
            return known
        model_id = self._model_id()
        given = self._brought_values(info.sha256) | given
        track = _new_track(info, self._probe(pending.path), filename, given)
        pending.prepare()
        with self._database.write() as session:
            held = admission.begin(session) if admission else False
            lock_blob(session, info.sha256)
            track, created = find_or_create(session, track)
            priority = Priority.BATCH if admission else Priority.INTERACTIVE
            job = None
            if created:
                job = add_job(
                    session,
                    track.pk,
                    model_id,
                    self._max_attempts,
                    priority=priority,
                    held=held,
                )
            session.flush()
            uploaded = Uploaded(track, job, not created)
            if admission:
                admission.note(session, uploaded)
            pending.place()
        return uploaded

    def upload(
        self,
        chunks: Iterable[bytes],
        *,
        filename: str,
        values: Mapping[str, Any] | None = None,
        admission: Admission | None = None,
    ) -> Uploaded:
        """Receive and accept in one; raises what both raise."""
        with self.receive() as pending:
            for chunk in chunks:
                pending.write(chunk)
            return self.accept(pending, filename=filename, values=values, admission=admission)

    def upload_file(self, path: Path, *, values: Mapping[str, Any] | None = None) -> Uploaded:
        """Copy a file of this machine in; raises what `upload` does, and OSError."""
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(_COPY_BYTES), b"")
            return self.upload(chunks, filename=path.name, values=values)

    def _brought_values(self, sha256: str) -> dict[str, Any]:
        """What an imported analysis says of these bytes: it wins over the file's own tags."""
        with self._database.read() as session:
            return clean_values(find_waiting_values(session, sha256))

    def _find_known(
        self, pending: PendingBlob, info: BlobInfo, admission: Admission | None
    ) -> Uploaded | None:
        """The track with these bytes, so that a duplicate is neither probed nor stored again."""
        with self._database.write() as session:
            if admission:
                admission.begin(session)
            lock_blob(session, info.sha256)
            known = find_track_by_sha256(session, info.sha256)
            if known is None:
                return None
            uploaded = Uploaded(known, None, True)
            if admission:
                admission.note(session, uploaded)
            elif known.state == TrackState.PENDING:
                hurry(session, known.pk)
            if self._blobs.find(info.sha256) is None:
                pending.place()  # someone lost the file: these are its bytes
        return uploaded


def _new_track(info: BlobInfo, probe: AudioProbe, filename: str, given: Mapping[str, Any]) -> Track:
    tags = clean_values(
        {
            "title": probe.tags.title,
            "artist": probe.tags.artist or probe.tags.album_artist,
            "album": probe.tags.album,
            "genre": probe.tags.genre,
            "year": probe.tags.year,
        }
    )
    return Track(
        id=new_id(),
        sha256=info.sha256,
        size_bytes=info.size_bytes,
        filename=clean_filename(filename),
        media_type=_MEDIA_TYPES.get(probe.format, _UNKNOWN_MEDIA_TYPE),
        format=probe.format,
        codec=probe.codec,
        sample_rate_hz=probe.sample_rate_hz,
        channels=probe.channels,
        duration_s=probe.duration_s,
        **{**tags, **given},
    )
