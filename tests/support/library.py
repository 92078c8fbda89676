"""The service's core in one object, with a fake encoder and everything else real."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from service.audio.decode import probe
from service.audio.results import DecodeLimits
from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.database.tables import Clip, IndexChange, Job, Track, TrackVector
from service.inference.batcher import ClipEmbedder
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.ingest.embed import EmbedTrack
from service.ingest.upload import Uploaded, UploadService
from service.jobs.queue import JobQueue
from service.jobs.service import JobService
from service.tagging.retag import TAG, RetagLibrary
from service.tagging.tagger import TrackTagger
from service.tracks.service import TrackService
from service.worker.loop import Desk, Worker
from tests.support.audio import write_audio
from tests.support.encoder import SAMPLE_RATE_HZ, FakeEncoder, tone

LIMITS = DecodeLimits(timeout_s=60.0)


class Library:
    """One process's worth of services over a database and a folder."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        encoder: FakeEncoder | None = None,
        lease_s: float = 60.0,
        max_track_s: float = 3600.0,
        batch_size: int = 2,
        max_bytes: int = 1 << 26,
    ) -> None:
        self.database = database
        self.folder = folder
        self.fake = encoder or FakeEncoder()
        self.thread = ModelThread()
        self.encoder = EncoderHandle(lambda: self.fake, self.thread)
        self.blobs = LocalBlobStore(folder / "blobs")
        self.queue = JobQueue(database, lease_s=lease_s)
        self.jobs = JobService(database)
        self.tracks = TrackService(database, self.blobs)
        self.uploads = UploadService(
            database,
            self.blobs,
            probe=functools.partial(probe, limits=LIMITS),
            model_id=lambda: self.fake.model_id,
            max_bytes=max_bytes,
        )
        self.tagger = TrackTagger(database, self.encoder, self.thread)
        self.retag = RetagLibrary(database, self.tagger)
        self.embed = EmbedTrack(
            database,
            self.blobs,
            self.encoder,
            ClipEmbedder(self.encoder, self.thread, batch_size=batch_size),
            self.tagger,
            max_track_s=max_track_s,
            limits=LIMITS,
        )
        self.desk = Desk(self.encoder, self.embed, {TAG: self.retag})
        self.worker = Worker(self.queue, lambda: [self.desk], poll_s=0.05)

    def close(self) -> None:
        self.worker.stop()
        self.fake.gate.set()
        self.thread.close()

    def upload_tone(
        self, frequency_hz: float = 440.0, duration_s: float = 25.0, **values: Any
    ) -> Uploaded:
        path = self.folder / f"tone-{frequency_hz:g}-{duration_s:g}.wav"
        if not path.exists():
            write_audio(path, tone(frequency_hz, duration_s), SAMPLE_RATE_HZ)
        return self.uploads.upload_file(path, values=values)

    def work_all(self) -> int:
        """Run jobs until there are none; returns how many ran."""
        ran = 0
        while self.worker.run_once(self.fake.model_id):
            ran += 1
        return ran

    def track(self, track_id: str) -> Track:
        return self.tracks.get_track(track_id)

    def clips(self, track_pk: int) -> list[Clip]:
        query = sa.select(Clip).where(Clip.track_pk == track_pk).order_by(Clip.position)
        with self.database.read() as session:
            return list(session.scalars(query))

    def mean(self, track_pk: int) -> np.ndarray[Any, np.dtype[np.float16]]:
        with self.database.read() as session:
            row = session.scalars(
                sa.select(TrackVector).where(TrackVector.track_pk == track_pk)
            ).one()
        return np.frombuffer(row.vector, "<f2")

    def job(self, job_id: str) -> Job:
        return self.jobs.get_job(job_id).job

    def changes(self) -> list[tuple[int, str, int]]:
        with self.database.read() as session:
            rows = session.scalars(sa.select(IndexChange).order_by(IndexChange.seq))
            return [(row.seq, row.op, row.track_pk) for row in rows]
