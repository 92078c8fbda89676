"""Learning from a tagger: its answers to text queries, and its tags.

Legend: B clips, K queries, T tags, R labelled windows, E embedding width, D the teacher's width.

The teacher answers a text query with a score per clip (its tags' z-scored logits, weighted by how
near each tag is to the query). For random queries the student learns to rank the clips of its
batch as the teacher does (softmax over clips), and the queries of a clip likewise (over texts).
Clips must lie inside windows that the teacher has heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training.augment import FRAME_RATE_HZ
from models.training.data import Crops
from models.training.manifest import ManifestEntry
from models.training.teacher.label_store import read_labels
from models.training.teacher.search import TagStatistics


@dataclass(frozen=True)
class DistillConfig:
    """What is learned from a teacher, and how much it counts; without `labels` nothing is.

    `sharpness` multiplies the teacher's scores before its softmax: the higher, the more only its
    first choices count. The sentence encoder in `text_folder` says how near a query is to a tag;
    without one it is the run's own.
    """

    labels: str = ""
    query_weight: float = 1.0
    tag_weight: float = 0.3
    embedding_weight: float = 0.3
    queries: int = 192
    sharpness: float = 2.0
    text_folder: str = ""

    def __post_init__(self) -> None:
        weights = (self.query_weight, self.tag_weight, self.embedding_weight)
        if min(weights) < 0 or self.queries < 2 or self.sharpness <= 0:
            raise ValueError(f"distillation settings make no sense: {self}")


@dataclass(frozen=True)
class TeacherKnowledge:
    """What the teacher says of the training tracks' windows, standardised over them.

    files [R] and starts_s [R] say which ten seconds a row is about, logits [R, T] and embeddings
    [R, D] what the teacher made of them.
    """

    files: tuple[str, ...]
    starts_s: NDArray[np.float32]
    lengths_s: NDArray[np.float32]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]


def load_teacher(path: Path, entries: Sequence[ManifestEntry]) -> TeacherKnowledge:
    """Read the teacher's label file for a corpus's training tracks.

    Raises ValueError where it labels none of them.
    """
    labels = read_labels(path)
    sha256_of = {entry.id: entry.sha256 for entry in entries if entry.split == "train"}
    kept = np.array([track in sha256_of for track in labels.track_ids.tolist()])
    if not kept.any():
        raise ValueError(f"{path.name} labels no training track of this corpus")
    logits = labels.logits[kept]
    embeddings = labels.embeddings[kept].astype(np.float32)
    return TeacherKnowledge(
        files=tuple(sha256_of[track] for track in labels.track_ids[kept].tolist()),
        starts_s=labels.starts_s[kept],
        lengths_s=labels.durations_s[kept],
        logits=TagStatistics.of(logits).standardise(logits),
        embeddings=TagStatistics.of(embeddings).standardise(embeddings),
    )


class LabelledWindows:
    """Finds the teacher's windows of a file, and moves crops into them."""

    def __init__(self, knowledge: TeacherKnowledge) -> None:
        self.knowledge = knowledge
        self._rows: dict[str, list[int]] = {}
        for row, sha256 in enumerate(knowledge.files):
            self._rows.setdefault(sha256, []).append(row)

    def place(
        self, files: Sequence[str], crops: Crops, rng: np.random.Generator
    ) -> tuple[Crops, NDArray[np.int64]]:
        """Move each crop to a random place in a random labelled window of its file.

        Returns the crops and the labels' rows [B]; -1, and the crop as it was, where the teacher
        has not heard the file.
        """
        starts = crops.starts.copy()
        rows = np.full(len(files), -1, dtype=np.int64)
        for i, sha256 in enumerate(files):
            draw = rng.random(2)
            known = self._rows.get(sha256)
            if known:
                rows[i] = row = known[int(draw[0] * len(known))]
                window = round(float(self.knowledge.lengths_s[row]) * FRAME_RATE_HZ)
                room = max(window - crops.frames, 0)
                first = round(float(self.knowledge.starts_s[row]) * FRAME_RATE_HZ)
                starts[i] = first + int(draw[1] * (room + 1))
        return Crops(crops.tracks, starts, crops.frames), rows


class DistillHeads(nn.Module):
    """What distillation adds to the network while it trains: two scales and two linear heads."""

    def __init__(self, embed_dim: int, tags: int, teacher_width: int) -> None:
        super().__init__()
        self.log_scale_clips = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))
        self.log_scale_queries = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))
        self.tags = nn.Linear(embed_dim, tags)
        self.embedding = nn.Linear(embed_dim, teacher_width)


@dataclass(frozen=True)
class DistillLosses:
    """Scalars: divergence over clips and over queries, squared errors of logits and embeddings."""

    over_clips: Tensor
    over_queries: Tensor
    tags: Tensor
    embedding: Tensor

    def total(self, config: DistillConfig) -> Tensor:
        """Return their weighted sum."""
        asked = config.query_weight * (self.over_clips + self.over_queries)
        told = config.tag_weight * self.tags + config.embedding_weight * self.embedding
        return asked + told


@dataclass(frozen=True)
class Lesson:
    """What the teacher says of a batch: weights [K, T] of its queries, logits, embeddings."""

    weights: Tensor
    logits: Tensor
    embeddings: Tensor


def distill(
    heads: DistillHeads, audio: Tensor, queries: Tensor, lesson: Lesson, sharpness: float
) -> DistillLosses:
    """Compare the student with the teacher; audio [B, E] and queries [K, E] are unit vectors."""
    student = queries @ audio.T
    teacher = sharpness * (lesson.weights @ lesson.logits.T)
    # Unit vectors have coordinates near E^-1/2; linear heads want them near 1.
    features = audio * audio.shape[1] ** 0.5
    return DistillLosses(
        over_clips=_divergence(teacher, student * heads.log_scale_clips.exp(), dim=1),
        over_queries=_divergence(teacher, student * heads.log_scale_queries.exp(), dim=0),
        tags=functional.mse_loss(heads.tags(features), lesson.logits),
        embedding=functional.mse_loss(heads.embedding(features), lesson.embeddings),
    )


def _divergence(teacher: Tensor, student: Tensor, dim: int) -> Tensor:
    """Mean Kullback-Leibler divergence of the student's softmax from the teacher's."""
    target = functional.softmax(teacher, dim=dim)
    gap = functional.log_softmax(teacher, dim=dim) - functional.log_softmax(student, dim=dim)
    return (target * gap).sum(dim=dim).mean()
