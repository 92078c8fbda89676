"""The teacher's labels of the released corpus, small enough for the repository.

Legend: R windows (rows), K columns.

Hearing the corpus costs an hour and a half of a core, and what is heard is always the same. Logits
and embeddings are kept in eight bits each, on a scale of each column's own; the steps are some
hundredth of the spread between windows. A track's labels are used for the very same file only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.manifest import ManifestEntry
from models.training.teacher.label_store import TEACHER, TeacherLabels, without_tracks
from models.whole_file import whole_file

PATH = Path(__file__).with_name("released_labels.npz")
_LEVELS = 255


def _marks(entries: Iterable[ManifestEntry]) -> dict[str, bytes]:
    """Eight bytes for each track that change with its file, or with what it is called."""
    return {e.id: hashlib.sha256(f"{e.id} {e.sha256}".encode()).digest()[:8] for e in entries}


def pack_labels(path: Path, labels: TeacherLabels, entries: Sequence[ManifestEntry]) -> None:
    """Write labels of a corpus in eight bits; KeyError for labels of no track in it."""
    tracks, rows = np.unique(labels.track_ids, return_inverse=True)
    marks = _marks(entries)
    files = np.frombuffer(b"".join(marks[track] for track in tracks), dtype=np.uint8)
    with whole_file(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(
            stream,
            teacher=np.asarray(TEACHER),
            files=files.reshape(-1, 8),
            tracks=tracks,
            rows=rows.astype(np.uint16),
            starts_s=labels.starts_s,
            durations_s=labels.durations_s,
            **_packed("logits", labels.logits),
            **_packed("embeddings", labels.embeddings.astype(np.float32)),
        )


def find_released(entries: Sequence[ManifestEntry], path: Path = PATH) -> TeacherLabels | None:
    """Return the released labels of the entries whose files were heard; None where none was.

    The rows come in the released order, which is that of the tracks' ids.
    """
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        if str(stored["teacher"]) != TEACHER:
            return None
        marks = _marks(entries)
        others = [
            track
            for track, mark in zip(stored["tracks"].tolist(), stored["files"], strict=True)
            if marks.get(track) != mark.tobytes()
        ]
        if len(others) == len(stored["tracks"]):
            return None
        labels = TeacherLabels(
            track_ids=stored["tracks"][stored["rows"]],
            starts_s=stored["starts_s"],
            durations_s=stored["durations_s"],
            logits=_unpacked("logits", stored),
            embeddings=_unpacked("embeddings", stored).astype(np.float16),
        )
    return without_tracks(labels, others)


def _packed(name: str, values: NDArray[np.float32]) -> dict[str, Any]:
    low = values.min(axis=0)
    step = np.maximum((values.max(axis=0) - low) / _LEVELS, 1e-9).astype(np.float32)
    levels = np.round((values - low) / step).astype(np.uint8)
    return {f"{name}_low": low, f"{name}_step": step, name: levels}


def _unpacked(name: str, stored: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = stored[f"{name}_low"] + stored[f"{name}_step"] * stored[name]
    return values
