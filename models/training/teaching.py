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
from models.training.queries import list_queries
from models.training.teacher.reading import TagReader
from models.training.teacher.search import spoken_tags
from models.training.teacher.vocabulary import TEACHER_TAGS
from models.training.text_table import open_text_reader

# A query whose scores hardly differ between windows says nothing, and shall not be made to.
_LEAST_SPREAD = 0.25


class Teacher:
    """The teacher's labels, the queries it can answer, and how its tags weigh for each.

    Weights are scaled so that the scores of every query have a spread of 1 over the windows:
    what is made of many tags would differ less between clips than a single tag does.
    """

    def __init__(
        self,
        config: DistillConfig,
        entries: Sequence[ManifestEntry],
        captions: CaptionWeights,
        text_folder: Path,
    ) -> None:
        self.knowledge = load_teacher(Path(config.labels), entries)
        self.windows = LabelledWindows(self.knowledge)
        asked = list_queries(entries, spoken_tags(TEACHER_TAGS), captions)
        self.queries = [query.text for query in asked]
        reader = TagReader(open_text_reader(text_folder, "pooled").embed)
        weights = reader.read([query.meant for query in asked])
        self.weights = weights / _spreads(weights, self.knowledge.logits)

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


def _spreads(weights: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviations [K, 1] of the queries' scores over all windows."""
    covariance = np.cov(logits, rowvar=False).astype(np.float32)
    variances = np.einsum("kt,ts,ks->k", weights, covariance, weights, optimize=True)
    return np.asarray(np.maximum(np.sqrt(variances), _LEAST_SPREAD)[:, None], dtype=np.float32)
