"""Texts that a pretrained encoder reads in every step, because it is trained too, or is large.

Legend: N texts, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.text_encoder import TextEncoder
from models.text.pretrained import load_pretrained
from models.text.tokenizer import TextTokenizer
from models.training.text_table import TextBatch


class LiveTexts:
    """Token ids of texts; the encoder is a part of the network."""

    def __init__(
        self, texts: Sequence[str], tokenizer: TextTokenizer, encoder: TextEncoder
    ) -> None:
        unique = list(dict.fromkeys(texts))
        self._number = {text: number for number, text in enumerate(unique)}
        tokens = tokenizer.encode(unique) if unique else None
        self._ids = [] if tokens is None else [
            ids[mask.astype(bool)] for ids, mask in zip(tokens.token_ids, tokens.mask, strict=True)
        ]  # fmt: skip
        self._encoder = encoder

    def index(self, text: str) -> int:
        """Return the number of a text; KeyError for one that was not given."""
        return self._number[text]

    def batch(self, numbers: NDArray[np.int64]) -> TextBatch:
        """Return the token ids [N, L] of texts by their numbers, padded to the longest."""
        rows = [self._ids[number] for number in numbers.tolist()]
        longest = max(len(row) for row in rows)
        padding = self._encoder.config.pad_token_id
        ids = np.full((len(rows), longest), padding, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=bool)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = True
        return TextBatch(torch.from_numpy(ids), torch.from_numpy(mask))

    def backbone(self) -> TextEncoder:
        """Return the encoder."""
        return self._encoder


@dataclass(frozen=True)
class PretrainedReader:
    """A pretrained encoder with its tokenizer."""

    encoder: TextEncoder
    tokenizer: TextTokenizer

    @property
    def backbone(self) -> TextEncoder:
        """Return the module that a text tower stands on."""
        return self.encoder

    def texts(self, texts: Sequence[str]) -> LiveTexts:
        """Tokenize texts once; repeated ones share a number."""
        return LiveTexts(texts, self.tokenizer, self.encoder)


def open_pretrained_reader(folder: Path) -> PretrainedReader:
    """Open a folder in Hugging Face's layout with its tokenizer.json."""
    encoder = load_pretrained(folder)
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", encoder.config.max_tokens)
    return PretrainedReader(encoder, tokenizer)
