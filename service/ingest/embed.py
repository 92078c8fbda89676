"""One embed job: decode -> clips -> batches through the model -> one transaction.

Until that transaction nothing is written, so a kill, a cancel or a lost lease leaves the track as
it was; and it replaces whatever it finds, so that running a job twice changes nothing.

Legend: N clips, E embedding width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from models.interface import Vectors
from service.audio.clips import batch_clips
from service.audio.decode import ClipStream, stream_clips
from service.audio.results import DecodeLimits, DecodeSummary
from service.blobs.store import BlobStore
from service.database.engine import Database
from service.database.tables import Clip, Track, TrackState, TrackVector
from service.database.vectors import STORED, pack_vectors
from service.exchange.waiting import WaitingTrack, drop_waiting, find_waiting
from service.index_sync.changes import append_change
from service.inference.batcher import ClipEmbedder
from service.inference.encoder import EncoderHandle
from service.jobs.queue import Claim, LeaseLost, finish, lock_track
from service.tagging.tagger import Prepared, TrackTagger, VocabularyChanged

_DECODED = 0.98  # progress when only the commit is left


@dataclass(frozen=True, eq=False)
class Analysis:
    """What one decode and embedding of a track found: vectors float16 [N, E], seconds [N]."""

    vectors: NDArray[np.float16]
    starts_s: list[float]
    ends_s: list[float]
    peaks: bytes
    summary: DecodeSummary

    @property
    def mean(self) -> Vectors:
        """[E], the plain mean of the stored clip vectors as it is stored itself: in float16."""
        mean = self.vectors.astype(np.float32).mean(axis=0)
        stored: Vectors = mean.astype(STORED).astype(np.float32)
        return stored


class EmbedTrack:
    """The use case; one instance serves all jobs of a worker."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        encoder: EncoderHandle,
        clips: ClipEmbedder,
        tagger: TrackTagger,
        *,
        max_track_s: float,
        limits: DecodeLimits,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._encoder = encoder
        self._clips = clips
        self._tagger = tagger
        self._max_track_s = max_track_s
        self._limits = limits

    def run(self, claim: Claim, check: Callable[[float], None]) -> int:
        """Do the job and return the number of the published change.

        `check(progress)` is called between batches; what it raises ends the run. Raises
        DecodeError, BlobMissing, LeaseLost, and what the model raises.
        """
        analysis = self._analyse(claim, check)
        check(_DECODED)
        while True:
            prepared = self._tagger.prepare_or_skip()
            try:
                with self._database.write() as session:
                    return self._publish(session, claim, analysis, prepared)
            except VocabularyChanged:
                continue

    def _analyse(self, claim: Claim, check: Callable[[float], None]) -> Analysis:
        encoder = self._encoder.wait()
        if encoder.model_id != claim.model_id:
            raise ValueError("the job is for another model")
        with self._database.read() as session:
            waiting = find_waiting(session, claim.sha256, claim.model_id)
        if waiting is not None and waiting.vectors.shape[1] == encoder.embed_dim:
            return _brought_analysis(waiting)
        with (
            self._blobs.local_path(claim.sha256) as path,
            stream_clips(
                path,
                sample_rate_hz=encoder.sample_rate_hz,
                clip_s=encoder.clip_s,
                max_duration_s=self._max_track_s,
                limits=self._limits,
            ) as stream,
        ):
            return self._embed(stream, check)

    def _publish(
        self, session: Session, claim: Claim, analysis: Analysis, prepared: Prepared | None
    ) -> int:
        track = lock_track(session, claim.track_pk)
        if track is None:
            raise LeaseLost
        _replace_vectors(session, claim, analysis)
        if prepared is not None:
            self._tagger.write(session, prepared, [track.pk], analysis.mean[np.newaxis])
        if not finish(session, claim):
            raise LeaseLost
        _mark_ready(track, analysis)
        drop_waiting(session, claim.sha256, claim.model_id)
        session.flush()
        return append_change(session, "publish", claim.track_pk, claim.model_id)

    def _embed(self, stream: ClipStream, check: Callable[[float], None]) -> Analysis:
        """Holds one batch of samples, and a kilobyte for each clip that is done."""
        total_s = min(stream.probe.duration_s or self._max_track_s, self._max_track_s)
        vectors: list[NDArray[np.float16]] = []
        starts_s: list[float] = []
        ends_s: list[float] = []
        for batch in batch_clips(stream, self._clips.batch_size):
            vectors.append(self._clips.embed_job_batch(batch.samples).astype(STORED))
            starts_s.extend(batch.starts_s.tolist())
            ends_s.extend(batch.ends_s.tolist())
            check(min(ends_s[-1] / total_s, 1.0) * _DECODED)
        peaks = stream.peaks.tobytes()
        return Analysis(np.concatenate(vectors), starts_s, ends_s, peaks, stream.summary)


def _brought_analysis(waiting: WaitingTrack) -> Analysis:
    """What another installation found in these very bytes."""
    capped = "analysis_capped" in waiting.warnings
    summary = DecodeSummary(
        duration_s=waiting.analysed_s,
        samples=0,
        truncated_at_cap=capped,
        corrupt_packets=int("corrupt_packets" in waiting.warnings),
        declared_duration_s=None,
        ended_early="ended_early" in waiting.warnings,
        non_finite_samples=int("non_finite_samples" in waiting.warnings),
        decoder_cpu_s=0.0,
        decoder_peak_bytes=0,
    )
    return Analysis(waiting.vectors, waiting.starts_s, waiting.ends_s, waiting.peaks, summary)


def _replace_vectors(session: Session, claim: Claim, analysis: Analysis) -> None:
    key = {"track_pk": claim.track_pk, "model_id": claim.model_id}
    for table in (Clip, TrackVector):
        session.execute(
            delete(table).where(table.track_pk == claim.track_pk, table.model_id == claim.model_id)
        )
    packed = pack_vectors(analysis.vectors)
    spans = zip(analysis.starts_s, analysis.ends_s, packed, strict=True)
    rows: list[dict[str, Any]] = [
        {**key, "position": position, "start_s": start_s, "end_s": end_s, "vector": vector}
        for position, (start_s, end_s, vector) in enumerate(spans)
    ]
    session.execute(insert(Clip), rows)
    (mean,) = pack_vectors(analysis.mean[np.newaxis])
    session.add(TrackVector(**key, clip_count=len(rows), vector=mean))


def _mark_ready(track: Track, analysis: Analysis) -> None:
    summary = analysis.summary
    track.state, track.error_code, track.error_message = TrackState.READY, None, None
    track.analysed_s = summary.duration_s
    if not summary.truncated_at_cap:
        track.duration_s = summary.duration_s  # counted, where the container only claims
    track.peaks = analysis.peaks
    track.warnings = _warnings(summary)


def _warnings(summary: DecodeSummary) -> list[str]:
    """Stable codes of what a listener may want to know about the file."""
    found = {
        "analysis_capped": summary.truncated_at_cap,
        "ended_early": summary.ended_early,
        "corrupt_packets": summary.corrupt_packets > 0,
        "non_finite_samples": summary.non_finite_samples > 0,
    }
    return [code for code, is_so in found.items() if is_so]
