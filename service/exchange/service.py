"""A library's embeddings out into a file, and in from one: a library is analysed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.tables import Job, JobState, Track, TrackState, TrackVector
from service.exchange.errors import InvalidEmbeddings, ModelMismatch
from service.exchange.npz_file import read_npz, write_npz
from service.exchange.parquet_file import read_parquet, write_parquet
from service.exchange.reading import read_tracks
from service.exchange.tracks import ExportedTrack, Header, check_track
from service.exchange.waiting import count_waiting, drop_all_waiting, store_waiting
from service.filtering.nodes import Filter
from service.inference.encoder import EncoderHandle
from service.jobs.queue import Priority, add_job
from service.tracks.repository import TrackFilter, with_tags

FileFormat = Literal["parquet", "npz"]
STORED_AT_ONCE = 50

_WRITERS = {"parquet": write_parquet, "npz": write_npz}
_READERS = {b"PAR1": read_parquet, b"PK\x03\x04": read_npz}


@dataclass(frozen=True)
class Imported:
    """How many tracks a file held, and what became of them."""

    read: int
    known: int
    attached: int
    waiting: int
    model_id: str


@dataclass(frozen=True)
class Waiting:
    """What waits for its file: tracks, and the bytes of their vectors."""

    tracks: int
    size_bytes: int


class ExchangeService:
    """Embeddings of the model that is loaded; every method blocks."""

    def __init__(self, database: Database, encoder: EncoderHandle, *, max_attempts: int) -> None:
        self._database = database
        self._encoder = encoder
        self._max_attempts = max_attempts

    def export(self, file_format: FileFormat, wanted: Filter | None = None) -> Iterator[bytes]:
        """The file in chunks, of the tracks that a filter lets through.

        Raises Unavailable, FormatNotInstalled before the first one.
        """
        header = self._header()
        with self._database.read() as session:
            chosen = with_tags(session, TrackFilter(node=wanted), header.model_id)
        tracks = read_tracks(self._database, header, chosen.conditions())
        return _WRITERS[file_format](header, tracks)

    def import_file(self, path: Path) -> Imported:
        """Take in a file that `export` made, here or elsewhere; doing it twice changes nothing.

        Raises ModelMismatch before anything is stored; InvalidEmbeddings, with what was read
        before the bad row stored; Unavailable, FormatNotInstalled.
        """
        ours = self._header()
        header, tracks = _open(path)
        if header != ours:
            raise ModelMismatch(file_model_id=header.model_id, model_id=ours.model_id)
        read = known = attached = waiting = 0
        while piece := [
            check_track(track, header, read + number)
            for number, track in enumerate(islice(tracks, STORED_AT_ONCE))
        ]:
            with self._database.write() as session:
                here = self._store(session, header, piece)
            read += len(piece)
            known += here.known
            attached += here.attached
            waiting += len(piece) - here.known - here.attached
        return Imported(read, known, attached, waiting, header.model_id)

    def waiting(self) -> Waiting:
        with self._database.read() as session:
            return Waiting(*count_waiting(session))

    def drop_waiting(self) -> None:
        """Forget every vector whose file never came."""
        with self._database.write() as session:
            drop_all_waiting(session)

    def _header(self) -> Header:
        encoder = self._encoder.get()
        return Header(encoder.model_id, encoder.embed_dim)

    def _store(self, session: Session, header: Header, tracks: Sequence[ExportedTrack]) -> _Here:
        by_hash = {track.sha256: track for track in tracks}  # the last of a hash counts
        rows = session.execute(
            select(Track, TrackVector.track_pk)
            .outerjoin(
                TrackVector,
                (TrackVector.track_pk == Track.pk) & (TrackVector.model_id == header.model_id),
            )
            .where(Track.sha256.in_(list(by_hash)))
            .order_by(Track.pk)
            .with_for_update(of=Track)
        ).all()
        known = {track.sha256 for track, vector_pk in rows if vector_pk is not None}
        bare = [track for track, vector_pk in rows if vector_pk is None]
        wanted = [track for sha256, track in by_hash.items() if sha256 not in known]
        store_waiting(session, header.model_id, wanted)
        for track in bare:
            self._let_attach(session, track, header.model_id)
        return _Here(len(known) + len(tracks) - len(by_hash), len(bare))

    def _let_attach(self, session: Session, track: Track, model_id: str) -> None:
        """See to it that a job picks the vectors up: only jobs make tracks ready."""
        job = session.scalar(
            select(Job)
            .where(Job.track_pk == track.pk, Job.model_id == model_id, Job.kind == "embed")
            .with_for_update()
        )
        if job is None:
            add_job(session, track.pk, model_id, self._max_attempts, priority=Priority.BATCH)
        elif job.state in (JobState.FAILED, JobState.CANCELLED):
            session.execute(
                update(Job)
                .where(Job.id == job.id)
                .values(
                    state=JobState.QUEUED,
                    run_at=database_now(session),
                    progress=0.0,
                    max_attempts=Job.attempts + self._max_attempts,
                    error_code=None,
                    error_message=None,
                    finished_at=None,
                )
            )
        if track.state == TrackState.FAILED:
            track.state, track.error_code, track.error_message = TrackState.PENDING, None, None


@dataclass(frozen=True)
class _Here:
    known: int
    attached: int


def _open(path: Path) -> tuple[Header, Iterator[ExportedTrack]]:
    with path.open("rb") as file:
        reader = _READERS.get(file.read(4))
    if reader is None:
        raise InvalidEmbeddings
    return reader(path)
