"""Texts to token ids for a loaded bundle: what is too long or empty is refused, never cut.

Legend: N texts, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.bundle.manifest import TOKENIZER_FILE, TextSpec
from models.errors import BundleFormatError, EmptyTextError, TextTooLongError

Ints = NDArray[np.int64]

TEXTS_PER_RUN = 32
# No tokenizer makes tokens this long from text; longer input is refused before it costs time.
MAX_CHARACTERS_PER_TOKEN = 64


@dataclass(frozen=True)
class TokenBatch:
    """Texts of similar length: right-padded ids and mask [N, L], and their places in the input."""

    token_ids: Ints
    mask: Ints
    places: NDArray[np.intp]


class BundleTokenizer:
    """A bundle's tokenizer; nothing changes after construction."""

    def __init__(self, content: bytes, spec: TextSpec) -> None:
        try:
            self._tokenizer = Tokenizer.from_buffer(content)
        except Exception as error:
            # The binding raises bare Exception for whatever its parser finds.
            raise BundleFormatError(f"{TOKENIZER_FILE} cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._spec = spec

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text.

        Raises EmptyTextError for a text of white space, TextTooLongError past the model's limit.
        """
        limit = self._spec.max_tokens
        for index, text in enumerate(texts):
            if not text.strip():
                raise EmptyTextError(f"text {index} is empty")
            if len(text) > limit * MAX_CHARACTERS_PER_TOKEN:
                raise TextTooLongError(None, limit, index)
        rows: list[list[int]] = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        for index, row in enumerate(rows):
            if len(row) > limit:
                raise TextTooLongError(len(row), limit, index)
            if not row:
                raise EmptyTextError(f"text {index} has no content that the model reads")
        return rows

    def batches(self, texts: Sequence[str]) -> Iterator[TokenBatch]:
        """The texts in batches by length, so that little is computed on padding."""
        rows = self.encode(texts)
        order = np.argsort([len(row) for row in rows], kind="stable")
        for first in range(0, len(rows), TEXTS_PER_RUN):
            places = order[first : first + TEXTS_PER_RUN]
            yield self._padded([rows[place] for place in places], places)

    def _padded(self, rows: list[list[int]], places: NDArray[np.intp]) -> TokenBatch:
        length = max(len(row) for row in rows)
        token_ids = np.full((len(rows), length), self._spec.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(rows), length), dtype=np.int64)
        for i, row in enumerate(rows):
            token_ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return TokenBatch(token_ids, mask, places)
