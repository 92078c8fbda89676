"""The teacher's labels of the released corpus, small enough for the repository.

Legend: R windows (rows), K columns.

Hearing the corpus costs an hour and a half of a core, and what is heard is always the same. Logits
and embeddings are kept in eight bits each, on a scale of each column's own; the steps are some
hundredth of the spread between windows. They are used for the very corpus that they are about only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.manifest import ManifestEntry
from models.training.teacher.label_store import TEACHER, TeacherLabels
from models.whole_file import whole_file

PATH = Path(__file__).with_name("released_labels.npz")
_LEVELS = 255


def identity_of(entries: Sequence[ManifestEntry]) -> str:
    """Hash which files a corpus consists of, and what they are called."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.id):
        digest.update(f"{entry.id} {entry.sha256}\n".encode())
    return digest.hexdigest()


def pack_labels(path: Path, labels: TeacherLabels, entries: Sequence[ManifestEntry]) -> None:
    """Write labels of a corpus in eight bits."""
    tracks, rows = np.unique(labels.track_ids, return_inverse=True)
    with whole_file(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(
            stream,
            teacher=np.asarray(TEACHER),
            identity=np.asarray(identity_of(entries)),
            tracks=tracks,
            rows=rows.astype(np.uint16),
            starts_s=labels.starts_s,
            durations_s=labels.durations_s,
            **_packed("logits", labels.logits),
            **_packed("embeddings", labels.embeddings.astype(np.float32)),
        )


def find_released(entries: Sequence[ManifestEntry], path: Path = PATH) -> TeacherLabels | None:
    """Return the released labels of a corpus; None where there are none of these very files."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        if str(stored["teacher"]) != TEACHER or str(stored["identity"]) != identity_of(entries):
            return None
        return TeacherLabels(
            track_ids=stored["tracks"][stored["rows"]],
            starts_s=stored["starts_s"],
            durations_s=stored["durations_s"],
            logits=_unpacked("logits", stored),
            embeddings=_unpacked("embeddings", stored).astype(np.float16),
        )


def _packed(name: str, values: NDArray[np.float32]) -> dict[str, Any]:
    low = values.min(axis=0)
    step = np.maximum((values.max(axis=0) - low) / _LEVELS, 1e-9).astype(np.float32)
    levels = np.round((values - low) / step).astype(np.uint8)
    return {f"{name}_low": low, f"{name}_step": step, name: levels}


def _unpacked(name: str, stored: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = stored[f"{name}_low"] + stored[f"{name}_step"] * stored[name]
    return values
