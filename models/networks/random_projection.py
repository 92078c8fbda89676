"""A quantizer that learns nothing: a random projection and random codes, as BEST-RQ uses.

Legend: B batch, D input width, C code width, F frames (tokens), Q codebooks, K codes per codebook.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks.config import require
from models.networks.weight_norm import unit


@dataclass(frozen=True)
class RandomProjectionConfig:
    """One codebook of 8192 codes and this seed are the published package's."""

    input_dim: int = 512
    codebooks: int = 1
    codebook_size: int = 8192
    codebook_dim: int = 16
    seed: int = 142

    def __post_init__(self) -> None:
        sizes = (self.input_dim, self.codebooks, self.codebook_size, self.codebook_dim)
        require(min(sizes) >= 1, "a random projection needs sizes of at least 1")


class RandomProjectionQuantizer(nn.Module):
    """Codes of stacked mel frames by their nearest direction after a random projection.

    Source: BEST-RQ as the published package has it for comparison: Xavier-normal projections,
    normal codes, both sides scaled to length 1. Frames are normalised by the front end's global
    scalar only. Everything follows from the seed, so nothing is stored.
    """

    projections: Tensor
    codes: Tensor

    def __init__(self, config: RandomProjectionConfig) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(config.seed)
        shape = (config.codebooks, config.input_dim, config.codebook_dim)
        spread = (2.0 / (config.input_dim + config.codebook_dim)) ** 0.5
        projections = torch.randn(shape, generator=generator) * spread
        shape = (config.codebooks, config.codebook_size, config.codebook_dim)
        codes = unit(torch.randn(shape, generator=generator))
        self.register_buffer("projections", projections, persistent=False)
        self.register_buffer("codes", codes, persistent=False)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Codes [B, Q, F] of frames [B, D, F]."""
        books = []
        for projection, codes in zip(self.projections, self.codes, strict=True):
            latents = unit(frames.transpose(1, 2) @ projection)
            books.append((latents @ codes.T).argmax(dim=-1))
        return torch.stack(books, dim=1)
