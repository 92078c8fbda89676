"""A token table of a few bits per value: most of a small text encoder is its vocabulary.

Legend: V vocabulary, D width, B bits, N texts, L tokens.

Each row is stored as codes of B bits into one shared table of 2**B levels, times the row's own
scale, plus an offset per channel. The codes lie in bit planes of bytes ([V, B, D/8]), so that
the same layout serves 3 and 4 bits; only the rows of a query are ever unpacked.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class PackedEmbedding(nn.Module):
    """Look up token ids [N, L] in a packed table; gives float32 [N, L, D]. Not trainable."""

    codes: Tensor
    scale: Tensor
    levels: Tensor
    offset: Tensor
    plane_values: Tensor
    bits_of_byte: Tensor

    def __init__(self, vocab_size: int, width: int, bits: int) -> None:
        super().__init__()
        if width % 8 or not 1 <= bits <= 8:
            raise ValueError(f"cannot pack width {width} at {bits} bits")
        self.width = width
        self.register_buffer("codes", torch.zeros(vocab_size, bits, width // 8, dtype=torch.uint8))
        self.register_buffer("scale", torch.zeros(vocab_size, 1, dtype=torch.float16))
        self.register_buffer("levels", torch.zeros(2**bits))
        self.register_buffer("offset", torch.zeros(width))
        planes = 2 ** torch.arange(bits)
        self.register_buffer("plane_values", planes.reshape(bits, 1, 1), persistent=False)
        # A table of every byte's bits: bit shifts have no counterpart in the ONNX exporter.
        bits_of_byte = torch.arange(256).unsqueeze(1) >> torch.arange(8) & 1  # [256, 8]
        self.register_buffer("bits_of_byte", bits_of_byte, persistent=False)

    def forward(self, token_ids: Tensor) -> Tensor:
        planes = self.codes[token_ids].long()  # [N, L, B, D/8]
        ones = self.bits_of_byte[planes]  # [N, L, B, D/8, 8]
        index = (ones * self.plane_values).sum(dim=2).flatten(2)  # [N, L, D]
        return self.levels[index] * self.scale[token_ids].float() + self.offset

    def pack(self, table: NDArray[np.float32]) -> None:
        """Fill this module from a float table [V, D].

        The levels are the Lloyd-Max quantiser of the rows after each was divided by its standard
        deviation: the values are bell-shaped with outliers, on which even steps waste most codes.
        """
        offset = table.mean(axis=0)
        scale = (table - offset).std(axis=1, keepdims=True).astype(np.float16)
        scale = np.maximum(scale, np.float16(1e-3))
        levels = _lloyd_max_levels(((table - offset) / scale).ravel(), count=len(self.levels))
        edges = (levels[1:] + levels[:-1]) / 2
        bits = self.codes.shape[1]
        for start in range(0, len(table), 8192):  # bounded memory: the float table is 260 MB
            rows = slice(start, start + 8192)
            index = np.searchsorted(edges, (table[rows] - offset) / scale[rows]).astype(np.uint8)
            planes = [np.packbits((index >> b) & 1, axis=1, bitorder="little") for b in range(bits)]
            self.codes[rows] = torch.from_numpy(np.stack(planes, axis=1))
        self.scale.copy_(torch.from_numpy(scale))
        self.levels.copy_(torch.from_numpy(levels))
        self.offset.copy_(torch.from_numpy(offset))


def _lloyd_max_levels(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The `count` levels with the least squared error on a fixed sample of the values."""
    rng = np.random.default_rng(0)
    sample = np.sort(values[rng.integers(0, len(values), size=min(len(values), 1_000_000))])
    levels = np.quantile(sample, (np.arange(count) + 0.5) / count)
    for _ in range(100):
        owner = np.searchsorted((levels[1:] + levels[:-1]) / 2, sample)
        size = np.bincount(owner, minlength=count)
        total = np.bincount(owner, weights=sample, minlength=count)
        levels = np.where(size > 0, total / np.maximum(size, 1), levels)
    return levels.astype(np.float32)
