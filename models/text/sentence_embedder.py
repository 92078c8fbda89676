"""Texts in, pretrained sentence vectors out: for training data and for baselines.

Legend: N texts, E width of a sentence embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.text.ngram_encoder import NgramTextEncoder, load_text_encoder
from models.text.tokenizer import DEFAULT_MAX_TOKENS, TextTokenizer


class SentenceEmbedder:
    """The text encoder alone, without a tower on it, on the CPU."""

    def __init__(self, encoder: NgramTextEncoder, tokenizer: TextTokenizer) -> None:
        self._encoder = encoder.eval()
        self._tokenizer = tokenizer

    @classmethod
    def from_folder(cls, folder: Path) -> SentenceEmbedder:
        """Load what `models.text.convert_use` wrote."""
        tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", DEFAULT_MAX_TOKENS)
        return cls(load_text_encoder(folder), tokenizer)

    def embed(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Unit vectors [N, E]; texts of similar length share a batch, the order is kept."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self._encoder.config.embed_dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batch = self._tokenizer.encode([texts[row] for row in rows])
                ids, mask = torch.from_numpy(batch.token_ids), torch.from_numpy(batch.mask)
                vectors[rows] = self._encoder(ids, mask).pooled.numpy()
        return vectors
