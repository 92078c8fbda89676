"""The teacher's opinion of a corpus, in one file.

Legend: R windows (rows), K tags, D embedding width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.manifest import ManifestEntry
from models.training.teacher.vocabulary import TEACHER_TAGS
from models.training.teacher.windows import count_windows
from models.whole_file import whole_file

TEACHER = "musicnn 0.1.0, four networks"
"""Whose opinion a label file holds: those of another teacher are not mixed with it."""


class LabelsError(ValueError):
    """A label file is not this teacher's."""


@dataclass(frozen=True)
class TeacherLabels:
    """One row a window: track id [R], start and length in seconds [R], logits [R, K] (mean over
    the window's patches), embeddings [R, D]. Rows of a track are neighbours, in order of time."""

    track_ids: NDArray[np.str_]
    starts_s: NDArray[np.float32]
    durations_s: NDArray[np.float32]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float16]

    def rows_of(self) -> dict[str, NDArray[np.int64]]:
        """The rows of every track."""
        order: dict[str, list[int]] = {}
        for row, track_id in enumerate(self.track_ids.tolist()):
            order.setdefault(track_id, []).append(row)
        return {track_id: np.asarray(rows) for track_id, rows in order.items()}


def read_labels(path: Path) -> TeacherLabels:
    """Read a label file; LabelsError where another teacher made it, or with other tags."""
    with np.load(path, allow_pickle=False) as stored:
        by = str(stored["teacher"]) if "teacher" in stored else "an earlier teacher"
        if tuple(stored["tags"].tolist()) != TEACHER_TAGS or by != TEACHER:
            raise LabelsError(f"{path} holds the labels of {by}: move it away, it is made again")
        return TeacherLabels(
            track_ids=stored["track_ids"],
            starts_s=stored["starts_s"],
            durations_s=stored["durations_s"],
            logits=stored["logits"],
            embeddings=stored["embeddings"],
        )


def write_labels(path: Path, labels: TeacherLabels) -> None:
    """Write a label file."""
    with whole_file(path) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            teacher=np.asarray(TEACHER),
            tags=np.asarray(TEACHER_TAGS),
            track_ids=labels.track_ids,
            starts_s=labels.starts_s,
            durations_s=labels.durations_s,
            logits=labels.logits,
            embeddings=labels.embeddings,
        )


def seconds_by_track(labels: TeacherLabels) -> dict[str, float]:
    """How many seconds of each track are labelled."""
    return {
        track_id: float(labels.durations_s[rows].sum())
        for track_id, rows in labels.rows_of().items()
    }


def not_heard(
    entries: Sequence[ManifestEntry], labels: TeacherLabels | None, windows: int
) -> list[ManifestEntry]:
    """Those of which fewer windows are labelled than up to `windows` of each track are."""
    heard = Counter(labels.track_ids.tolist() if labels else ())
    return [e for e in entries if heard[e.id] < count_windows(e.duration_s, windows)]


def without_tracks(labels: TeacherLabels, track_ids: Iterable[str]) -> TeacherLabels:
    """The rows of all other tracks."""
    kept = ~np.isin(labels.track_ids, list(track_ids))
    return TeacherLabels(
        track_ids=labels.track_ids[kept],
        starts_s=labels.starts_s[kept],
        durations_s=labels.durations_s[kept],
        logits=labels.logits[kept],
        embeddings=labels.embeddings[kept],
    )


def join_labels(parts: list[TeacherLabels]) -> TeacherLabels:
    """All rows of several label sets, in their order."""
    return TeacherLabels(
        track_ids=np.concatenate([part.track_ids for part in parts]),
        starts_s=np.concatenate([part.starts_s for part in parts]),
        durations_s=np.concatenate([part.durations_s for part in parts]),
        logits=np.concatenate([part.logits for part in parts]),
        embeddings=np.concatenate([part.embeddings for part in parts]),
    )
