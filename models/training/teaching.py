"""A teacher in a contrastive run: its labels, the queries it can answer, how its tags weigh.

Legend: B clips, K queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.training.captions import CaptionWeights
from models.training.distill import (
    DistillConfig,
    DistillHeads,
    LabelledWindows,
    Lesson,
    load_teacher,
)
from models.training.manifest import ManifestEntry
from models.training.queries import query_texts
from models.training.teacher.search import spoken_tags, tag_weights
from models.training.teacher.vocabulary import TEACHER_TAGS
from models.training.text_table import open_text_reader


class Teacher:
    """The teacher's labels, the queries it can answer, and how its tags weigh for each."""

    def __init__(
        self,
        config: DistillConfig,
        entries: Sequence[ManifestEntry],
        captions: CaptionWeights,
        text_folder: Path,
    ) -> None:
        self.knowledge = load_teacher(Path(config.labels), entries)
        self.windows = LabelledWindows(self.knowledge)
        tags = spoken_tags(TEACHER_TAGS)
        self.queries = query_texts(entries, tags, captions)
        reader = open_text_reader(text_folder, "pooled")
        self.weights = tag_weights(reader.embed(self.queries), reader.embed(tags))

    def make_heads(self, embed_dim: int) -> DistillHeads:
        """Return heads that fit the teacher's tags and embeddings."""
        logits, embeddings = self.knowledge.logits, self.knowledge.embeddings
        return DistillHeads(embed_dim, logits.shape[1], embeddings.shape[1])

    def lesson(
        self, queries: NDArray[np.int64], rows: NDArray[np.int64], device: torch.device
    ) -> Lesson:
        """Return what it says of labelled windows, and how it reads queries (both by number)."""
        told = (self.weights[queries], self.knowledge.logits[rows], self.knowledge.embeddings[rows])
        return Lesson(*(torch.from_numpy(values).to(device) for values in told))
