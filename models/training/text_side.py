"""The text side of a finished contrastive run, which is taught something more.

Legend: N texts, P width before the last map, E embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.checksum import file_sha256
from models.networks.term_reader import TermReader
from models.text.tokenizer import TextTokenizer
from models.training.checkpoint import read_extras, rewrite_weights
from models.training.manifest import ManifestEntry, read_manifest
from models.training.mulan import TrainedMulan, load_trained_mulan
from models.training.run import Run, RunError
from models.training.text_table import TextReader

Floats = NDArray[np.float64]

_EVERY = 2
_WEIGHT = "model.mulan.text.to_embedding.weight"
_READER = "model.mulan.text.term_reader."


@dataclass(frozen=True)
class TextSide:
    """A run's text side at one checkpoint: what comes before its last map, and that map."""

    folder: Path
    checkpoint: str
    trained: TrainedMulan
    reader: TextReader

    @property
    def weight(self) -> Floats:
        """The last map [E, P]."""
        weight: Floats = self.trained.network.text.to_embedding.weight.detach().double().numpy()
        return weight

    @property
    def bias(self) -> Floats:
        """What the last map adds [E]."""
        bias: Floats = self.trained.network.text.to_embedding.bias.detach().double().numpy()
        return bias

    @property
    def tokenizer(self) -> TextTokenizer:
        """What cuts texts into pieces."""
        return self.reader.tokenizer

    def sentence_states(self, texts: Sequence[str]) -> Floats:
        """Sentence states [N, P] of texts: what the last map is given."""
        tower = self.trained.network.text
        states = torch.from_numpy(self.reader.embed(texts)).float()
        with torch.no_grad():
            if tower.projection is not None:
                states = tower.projection(states)
            mask = torch.ones(len(states), 1, dtype=torch.bool)
            before: Floats = tower.transformer(states[:, None], mask)[:, 0].double().numpy()
        return before

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit vectors of texts [N, E], without a term reader."""
        return mapped(self.trained.network.text.to_embedding, self.sentence_states(texts))

    def captions(self) -> list[str]:
        """List every second track's first caption."""
        return some_captions(read_manifest(Path(self.trained.recipe.data.manifest)))

    def write_reader(self, out: str, reader: TermReader, said: Mapping[str, Any]) -> None:
        """Write the checkpoint `out` with a term reader, and what was done in its header."""
        run = Run(self.folder)
        tensors = {f"{_READER}{name}": value for name, value in reader.state_dict().items()}
        rewrite_weights(run.checkpoint(self.checkpoint), run.checkpoint(out), {}, said, tensors)

    def write(self, out: str, weight: Floats, said: Mapping[str, Any]) -> None:
        """Write the checkpoint `out` with another last map, and what was done in its header."""
        run = Run(self.folder)
        rewrite_weights(
            run.checkpoint(self.checkpoint),
            run.checkpoint(out),
            {_WEIGHT: torch.from_numpy(weight)},
            said,
        )


def made_of(source: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a header says of a checkpoint that was made of `source`: how, and of which bytes."""
    return {**facts, "source_sha256": file_sha256(source)}


def is_made_of(out: Path, source: Path, key: str, facts: Mapping[str, Any]) -> bool:
    """Whether `out` is there and its header says, under `key`, that it was made so."""
    if not out.exists() or not source.exists():
        return False
    return bool(read_extras(out).get(key) == made_of(source, facts))


def mapped(last: nn.Linear, states: Floats) -> Floats:
    """Unit vectors [N, E] that a text side's last map makes of what it is given [N, P]."""
    weight, bias = (value.detach().double().numpy() for value in (last.weight, last.bias))
    vectors: Floats = states @ weight.T + bias
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def some_captions(entries: Sequence[ManifestEntry]) -> list[str]:
    """List every second track's first caption."""
    return [entry.captions[0].text for entry in entries[::_EVERY] if entry.captions]


def open_text_side(run: Path, checkpoint: str) -> TextSide:
    """Open a mulan run's text side; RunError where it does not read sentence embeddings."""
    trained = load_trained_mulan(run, checkpoint)
    reader = trained.reader
    if not isinstance(reader, TextReader) or reader.reading != "pooled":
        raise RunError("only a text side that reads sentence embeddings can be taught afterwards")
    return TextSide(run, checkpoint, trained, reader)
