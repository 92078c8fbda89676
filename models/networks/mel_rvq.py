"""Mel-RVQ: the residual quantizer whose codes are what MuQ learns to predict.

Legend: B batch, M mel bins, F frames (or tokens), D input width, C code width, Q codebooks,
K codes per codebook.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import MelRVQConfig
from models.networks.weight_norm import mean_square, projection, straight_through, unit

COMMITMENT_WEIGHT = 0.25


@dataclass(frozen=True)
class StageResult:
    """One codebook's answer: codes [B, F], latents [B, C, F], quantized [B, D, F], two losses."""

    codes: Tensor
    latents: Tensor
    quantized: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor


@dataclass(frozen=True)
class QuantizedResult:
    """Codes [B, Q, F], quantized [B, D, F], latents [B, Q * C, F] before lookup, scalar losses.

    Commitment and codebook loss are summed over the codebooks; `loss` is what is minimised.
    """

    codes: Tensor
    quantized: Tensor
    latents: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor
    reconstruction_loss: Tensor

    @property
    def loss(self) -> Tensor:
        weighted = COMMITMENT_WEIGHT * self.commitment_loss
        return weighted + self.codebook_loss + self.reconstruction_loss


class Codebook(nn.Module):
    """K code vectors [K, C], looked up by direction; counts for how long each went unused."""

    stale_counter: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(size, dim)
        self.register_buffer("stale_counter", torch.zeros(size))

    def lookup(self, latents: Tensor) -> Tensor:
        """Index [B, F] of the code nearest in direction to each of latents [B, C, F]."""
        directions = unit(latents.transpose(1, 2))
        return (directions @ unit(self.vectors.weight).T).argmax(dim=-1)

    def forward(self, codes: Tensor) -> Tensor:
        """Code vectors [B, C, F] of codes [B, F], at their own length."""
        vectors: Tensor = self.vectors(codes)
        return vectors.transpose(1, 2)


class QuantizerStage(nn.Module):
    """Project to the code space, take the nearest code, project back."""

    def __init__(self, config: MelRVQConfig) -> None:
        super().__init__()
        shape = (config.projection_hidden, config.projection_layers)
        self.project_in = projection(config.input_dim, shape[0], config.codebook_dim, shape[1])
        self.codebook = Codebook(config.codebook_size, config.codebook_dim)
        self.project_out = projection(config.codebook_dim, shape[0], config.input_dim, shape[1])

    def forward(self, residual: Tensor) -> StageResult:
        """Quantize residual [B, D, F]."""
        latents: Tensor = self.project_in(residual)
        codes = self.codebook.lookup(latents)
        vectors: Tensor = self.codebook(codes)
        return StageResult(
            codes=codes,
            latents=latents,
            quantized=self.project_out(straight_through(latents, vectors)),
            commitment_loss=mean_square(latents, vectors.detach()),
            codebook_loss=mean_square(vectors, latents.detach()),
        )


class MelRVQ(nn.Module):
    """Residual vector quantizer of stacked mel frames (or of another network's states).

    Source: muq paper, section on Mel-RVQ, and the published quantizer, which it agrees with in
    evaluation. Departure: codes that went unused are replaced by `replace_stale_codes`, which a
    training loop calls after its step, not inside the forward pass.
    """

    def __init__(self, config: MelRVQConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelRVQConfig()
        self.stages = nn.ModuleList(
            QuantizerStage(self.config) for _ in range(self.config.codebooks)
        )

    def forward(self, frames: Tensor) -> QuantizedResult:
        """Quantize frames [B, D, F]. Gradients flow from each stage's residual into the former."""
        residual, results = frames, list[StageResult]()
        for stage in self.stages:
            result: StageResult = stage(residual)
            residual = residual - result.quantized
            results.append(result)
        quantized = torch.stack([result.quantized for result in results]).sum(dim=0)
        return QuantizedResult(
            codes=torch.stack([result.codes for result in results], dim=1),
            quantized=quantized,
            latents=torch.cat([result.latents for result in results], dim=1),
            commitment_loss=torch.stack([r.commitment_loss for r in results]).sum(),
            codebook_loss=torch.stack([r.codebook_loss for r in results]).sum(),
            reconstruction_loss=functional.l1_loss(quantized, frames),
        )

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Codes [B, Q, F] of frames [B, D, F], without losses or gradients."""
        codes: Tensor = self(frames).codes
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Quantized frames [B, D, F] of codes [B, q, F], q <= Q; the fewer the coarser."""
        total = torch.zeros((), device=codes.device)
        for stage, stage_codes in zip(self.stages, codes.unbind(dim=1), strict=False):
            assert isinstance(stage, QuantizerStage)
            total = total + stage.project_out(stage.codebook(stage_codes))
        return total


def fold_frames(mel: Tensor, frames_per_token: int = 4) -> Tensor:
    """Stack consecutive mel frames [B, M, F] into tokens [B, frames_per_token * M, F / that].

    Raises ValueError where the frames do not divide evenly.
    """
    batch, bins, frames = mel.shape
    if frames % frames_per_token:
        raise ValueError(f"{frames} mel frames cannot be stacked by {frames_per_token}")
    tokens = frames // frames_per_token
    stacked = mel.transpose(1, 2).reshape(batch, tokens, frames_per_token * bins)
    return stacked.transpose(1, 2)


@torch.no_grad()
def replace_stale_codes(
    rvq: MelRVQ, result: QuantizedResult, generator: torch.Generator | None = None
) -> int:
    """Count one training batch's unused codes, replace those unused for too long; return how many.

    A code without a hit in `stale_tolerance` consecutive batches is overwritten by the direction
    of a random latent of this batch. As published: directions have length 1 although the other
    codes do not.
    """
    latents = result.latents.chunk(rvq.config.codebooks, dim=1)
    replaced = 0
    for index, stage in enumerate(rvq.stages):
        assert isinstance(stage, QuantizerStage)
        book = stage.codebook
        hits = torch.bincount(result.codes[:, index].flatten(), minlength=rvq.config.codebook_size)
        book.stale_counter.copy_((book.stale_counter + 1) * (hits == 0))
        stale = (book.stale_counter == rvq.config.stale_tolerance).nonzero().flatten()
        if stale.numel():
            pool = unit(latents[index].transpose(1, 2).flatten(0, 1))
            book.vectors.weight[stale] = pool[_draw(len(pool), stale.numel(), generator)].to(
                book.vectors.weight
            )
            book.stale_counter[stale] = 0
            replaced += stale.numel()
    return replaced


def _draw(pool_size: int, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` random indices into a pool, with repetition only where the pool is too small."""
    rounds = -(-count // pool_size)
    order = [torch.randperm(pool_size, generator=generator) for _ in range(rounds)]
    return torch.cat(order)[:count]
