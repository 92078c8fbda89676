"""Texts that a frozen encoder has read once, and a stand-in encoder that looks them up.

Legend: N texts, L tokens, R rows of the table, D width of a text state.

A text tower on a frozen encoder needs the encoder's states only; a run meets the same few
thousand captions again and again. So every text is encoded before training, and the tower's
encoder is a table: "token ids" are then row numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.networks.text_encoder import TextStates
from models.text.ngram_encoder import NgramTextEncoder, load_text_encoder
from models.text.pooled_backbone import PooledBackbone
from models.text.tokenizer import TextTokenizer

TextReading = Literal["pooled", "tokens"]
_BATCH = 64


@dataclass(frozen=True)
class TextBatch:
    """Row numbers (or token ids) [N, L], and which of them are real [N, L]."""

    rows: Tensor
    mask: Tensor


class Texts(Protocol):
    """The texts of a run, by number, in the form that a text tower reads."""

    def index(self, text: str) -> int:
        """Return the number of a text; KeyError for one that the run does not have."""
        ...

    def batch(self, numbers: NDArray[np.int64]) -> TextBatch: ...

    def backbone(self) -> nn.Module:
        """Return the module under the tower that reads such batches."""
        ...


class TextTable:
    """Encoded texts: `index` of a text, and batches of row numbers for a tower."""

    def __init__(self, texts: Sequence[str], states: Sequence[NDArray[np.float32]]) -> None:
        self.texts = list(texts)
        self._number = {text: number for number, text in enumerate(self.texts)}
        self.states = np.concatenate(states)
        lengths = np.array([len(rows) for rows in states])
        self._first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        self._lengths = lengths

    def index(self, text: str) -> int:
        """Return the number of a text; KeyError where it was not encoded."""
        return self._number[text]

    def batch(self, numbers: NDArray[np.int64]) -> TextBatch:
        """Return the rows of texts by their numbers, padded to the longest."""
        lengths = self._lengths[numbers]
        steps = np.arange(lengths.max())
        mask = steps[None, :] < lengths[:, None]
        rows = np.where(mask, self._first[numbers][:, None] + steps, 0)
        return TextBatch(torch.from_numpy(rows), torch.from_numpy(mask))

    def backbone(self) -> TableBackbone:
        """Return the module that looks the rows up."""
        return TableBackbone(self)


class TableBackbone(nn.Module):
    """Stands for the frozen encoder in a text tower: row numbers [N, L] to states [N, L, D]."""

    states: Tensor

    def __init__(self, table: TextTable) -> None:
        super().__init__()
        # Not part of the trained network: the run's checkpoint must not carry it.
        self.register_buffer("states", torch.from_numpy(table.states), persistent=False)

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextStates:
        """`token_ids` are row numbers."""
        return TextStates(self.states[token_ids].float())


@dataclass(frozen=True)
class TextReader:
    """A frozen encoder with its tokenizer: what a bundle ships, and what fills a table."""

    encoder: NgramTextEncoder
    tokenizer: TextTokenizer
    reading: TextReading

    @property
    def backbone(self) -> nn.Module:
        """Return the module that a text tower stands on."""
        return PooledBackbone(self.encoder) if self.reading == "pooled" else self.encoder

    def read(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return each text's states [L, D]; one row, its sentence embedding, where pooled."""
        return self._encode(texts, self.reading)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the encoder's own sentence embeddings [N, E], unit norm."""
        return np.concatenate(self._encode(texts, "pooled"))

    @torch.no_grad()
    def _encode(self, texts: Sequence[str], reading: TextReading) -> list[NDArray[np.float32]]:
        # Texts of like length together: padding costs as much as words do.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        states: dict[int, NDArray[np.float32]] = {}
        for start in range(0, len(order), _BATCH):
            numbers = order[start : start + _BATCH]
            tokens = self.tokenizer.encode([texts[i] for i in numbers])
            mask = torch.from_numpy(tokens.mask)
            encoding = self.encoder(torch.from_numpy(tokens.token_ids), mask)
            pooled, rows = encoding.pooled.numpy(), encoding.last_hidden_state.numpy()
            for place, number in enumerate(numbers):
                length = int(tokens.mask[place].sum())
                whole = rows[place, :length].copy()
                states[number] = pooled[place : place + 1] if reading == "pooled" else whole
        return [states[i] for i in range(len(texts))]

    def texts(self, texts: Sequence[str]) -> TextTable:
        """Encode texts once; repeated ones share a number."""
        unique = list(dict.fromkeys(texts))
        return TextTable(unique, self.read(unique))


def open_text_reader(folder: Path, reading: TextReading) -> TextReader:
    """Open a text encoder's folder: config.json, model.safetensors, tokenizer.json."""
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json")
    encoder = load_text_encoder(folder).eval().requires_grad_(False)
    return TextReader(encoder, tokenizer, reading)
