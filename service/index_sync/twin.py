"""The two indexes of a model, moved together: one vector per track, one per clip.

Legend: N vectors, E embedding width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from sqlalchemy.orm import Session

from indexer import sync
from indexer.base import Ids, VectorIndex, no_ids
from indexer.faiss_index import FaissConfig, FaissIndex
from indexer.snapshot import load_snapshot, save_snapshot
from indexer.sync import VerifyReport
from service.database.tables import CLIP_BITS, IndexChange
from service.index_sync.changes import latest_seq, list_changes
from service.index_sync.truth import (
    Counts,
    clip_batches,
    count_clips,
    count_vectors,
    joined,
    track_batches,
)

_CHANGES = 256
_VECTORS = 8_192  # read and written at once while catching up
_POSITION = (1 << CLIP_BITS) - 1


@dataclass(frozen=True)
class Reports:
    """How each index differs from SQL."""

    tracks: VerifyReport
    clips: VerifyReport

    @property
    def is_equal(self) -> bool:
        return self.tracks.is_equal and self.clips.is_equal


class Twin(ABC):
    """Both indexes of one model. Searches may run at any time; one thread at a time changes it.

    Changes are replayed by reading what SQL holds now for the tracks that they name. That may be
    newer than the change, never older, so that replaying again, or from further back, is harmless.
    """

    def __init__(self, tracks: VectorIndex, clips: VectorIndex) -> None:
        self.tracks = tracks
        self.clips = clips

    @property
    def model_id(self) -> str:
        return self.tracks.model_id

    @property
    def applied_seq(self) -> int:
        return min(self.tracks.applied_seq, self.clips.applied_seq)

    def catch_up(self, session: Session) -> int:
        """Replay what SQL has above `applied_seq`; returns the number of changes."""
        applied = 0
        while True:
            latest = latest_seq(session)
            changes = list_changes(
                session, self.model_id, after_seq=self.applied_seq, limit=_CHANGES
            )
            for group in self._groups(session, changes):
                self._apply(session, group)
            applied += len(changes)
            if len(changes) < _CHANGES:
                self._skip_to(latest)  # what is left was about other models
                return applied

    def matches(self, session: Session) -> bool:
        """Whether it holds as many vectors as SQL; a cheap sign of a restored or swapped database.

        `session` must see one moment, in which this has caught up.
        """
        counts = Counts(self.tracks.count, self.clips.count)
        return (
            self.applied_seq == latest_seq(session)
            and count_vectors(session, self.model_id) == counts
        )

    def verify(self, session: Session) -> Reports:
        """Compare with SQL, vector by vector; the same demands as `matches`."""
        dim = self.tracks.dim
        return Reports(
            sync.verify(self.tracks, track_batches(session, self.model_id, dim)),
            sync.verify(self.clips, clip_batches(session, self.model_id, dim)),
        )

    def repair(self, session: Session, reports: Reports) -> int:
        """Make both equal to SQL where the reports say that they are not; returns ids changed."""
        dim = self.tracks.dim
        return sync.repair(
            self.tracks, track_batches(session, self.model_id, dim), reports.tracks
        ) + sync.repair(self.clips, clip_batches(session, self.model_id, dim), reports.clips)

    def _groups(
        self, session: Session, changes: Sequence[IndexChange]
    ) -> Iterator[list[IndexChange]]:
        """Changes in order, in groups whose vectors fit into memory."""
        counts = count_clips(session, self.model_id, [change.track_pk for change in changes])
        group: list[IndexChange] = []
        vectors = 0
        for change in changes:
            count = counts.get(change.track_pk, 0)
            if group and vectors + count > _VECTORS:
                yield group
                group, vectors = [], 0
            group.append(change)
            vectors += count
        if group:
            yield group

    def _apply(self, session: Session, changes: Sequence[IndexChange]) -> Ids:
        """Write what SQL holds now for these tracks; returns their clips [N]."""
        seq, dim = changes[-1].seq, self.tracks.dim
        pks = sorted({change.track_pk for change in changes})
        ids, vectors = joined(track_batches(session, self.model_id, dim, pks), dim)
        self.tracks.update(remove=np.array(pks, dtype=np.int64), ids=ids, vectors=vectors, seq=seq)
        ids, vectors = joined(clip_batches(session, self.model_id, dim, pks), dim)
        self.clips.update(remove=self._clip_ids(pks), ids=ids, vectors=vectors, seq=seq)
        return ids

    def _skip_to(self, seq: int) -> None:
        for index in (self.tracks, self.clips):
            if index.applied_seq < seq:
                index.remove(no_ids(), seq=seq)

    @abstractmethod
    def _clip_ids(self, pks: Sequence[int]) -> Ids:
        """The clips that the index holds of these tracks; SQL may know nothing of them any more."""


class TwinIndex(Twin):
    """Both indexes of one model in this process's memory."""

    tracks: FaissIndex
    clips: FaissIndex

    def __init__(self, tracks: FaissIndex, clips: FaissIndex) -> None:
        super().__init__(tracks, clips)
        self._clip_counts = _count_by_track(clips.ids())

    @classmethod
    def build(cls, session: Session, model_id: str, dim: int, config: FaissConfig) -> Self:
        """Both indexes from SQL; `session` must see one moment (Database.snapshot)."""
        seq = latest_seq(session)
        tracks = FaissIndex.build(
            track_batches(session, model_id, dim),
            model_id=model_id,
            dim=dim,
            seq=seq,
            config=config,
        )
        clips = FaissIndex.build(
            clip_batches(session, model_id, dim), model_id=model_id, dim=dim, seq=seq, config=config
        )
        return cls(tracks, clips)

    @classmethod
    def load(cls, folder: Path, model_id: str, dim: int, config: FaissConfig) -> Self:
        """Both indexes from their snapshots; raises SnapshotError."""
        return cls(
            load_snapshot(folder / "tracks", model_id=model_id, dim=dim, config=config),
            load_snapshot(folder / "clips", model_id=model_id, dim=dim, config=config),
        )

    def save(self, folder: Path) -> None:
        """Write both snapshots. They may differ in seq: each one says its own."""
        save_snapshot(self.tracks, folder / "tracks")
        save_snapshot(self.clips, folder / "clips")

    @property
    def approximate(self) -> bool:
        return "ivf" in (self.tracks.kind, self.clips.kind)

    @property
    def needs_rebuild(self) -> bool:
        return self.tracks.needs_rebuild or self.clips.needs_rebuild

    def repair(self, session: Session, reports: Reports) -> int:
        changed = super().repair(session, reports)
        self._clip_counts = _count_by_track(self.clips.ids())
        return changed

    def _apply(self, session: Session, changes: Sequence[IndexChange]) -> Ids:
        ids = super()._apply(session, changes)
        for change in changes:
            self._clip_counts.pop(change.track_pk, None)
        self._clip_counts.update(_count_by_track(ids))
        return ids

    def _clip_ids(self, pks: Sequence[int]) -> Ids:
        spans = [
            np.arange(self._clip_counts[pk], dtype=np.int64) + (pk << CLIP_BITS)
            for pk in pks
            if pk in self._clip_counts
        ]
        return np.concatenate(spans) if spans else no_ids()


def _count_by_track(clip_ids: Ids) -> dict[int, int]:
    """One more than the highest position of each track; `clip_ids` ascend."""
    pks, first_of_next = np.unique(clip_ids >> CLIP_BITS, return_index=True)
    lasts = clip_ids[np.append(first_of_next[1:], clip_ids.size) - 1] if clip_ids.size else clip_ids
    return dict(zip(pks.tolist(), ((lasts & _POSITION) + 1).tolist(), strict=True))
