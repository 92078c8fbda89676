"""Texts to padded token ids, without torch.

Legend: N texts, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

# Enough for a long paragraph; the limit bounds the cost of a hostile query.
DEFAULT_MAX_TOKENS = 256
_PAD_ID = 0


@dataclass(frozen=True)
class TokenBatch:
    """Right-padded ids [N, L] and their mask [N, L] (1 = a real token), both int64."""

    token_ids: NDArray[np.int64]
    mask: NDArray[np.int64]


class TextTokenizer:
    """A bundle's `tokenizer.json`: each text gets its start and end tokens, cut at `max_tokens`.

    The padding value never reaches an embedding (the encoder masks it), so any valid id will do.
    Safe to share between threads: nothing changes after construction.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def from_file(cls, path: Path, max_tokens: int = DEFAULT_MAX_TOKENS) -> TextTokenizer:
        return cls(Tokenizer.from_file(str(path)), max_tokens)

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> TokenBatch:
        """Tokenize and pad to the longest of these texts; ValueError where there are none."""
        if not texts:
            raise ValueError("no texts to tokenize")
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        length = max(len(row) for row in rows)
        token_ids = np.full((len(rows), length), _PAD_ID, dtype=np.int64)
        mask = np.zeros((len(rows), length), dtype=np.int64)
        for i, row in enumerate(rows):
            token_ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return TokenBatch(token_ids, mask)
