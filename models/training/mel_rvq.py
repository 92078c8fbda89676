"""Stage mel_rvq: fit the residual quantizer whose codes MuQ will predict.

Legend: B batch, M mel bins, F frames, S tokens (four frames), D token width, Q codebooks, K codes.

With one codebook it is the single trained VQ that the paper compares with. Source: the published
quantizer. Where we depart: crops come from cached mels, and may be shifted in level.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.networks.config import MelRVQConfig
from models.networks.mel_rvq import MelRVQ, QuantizedResult, fold_frames, replace_stale_codes
from models.training import distributed
from models.training.checkpoint import load_module
from models.training.data import (
    CropBatches,
    DataConfig,
    TrainingData,
    held_out_entries,
    middle_crops,
    open_training_data,
)
from models.training.loop import Better, LoopConfig, LoopResult, StepResult, fit
from models.training.plots import plot_code_use
from models.training.randomness import STALE_CODES, torch_stream
from models.training.run import Run
from models.training.schedule import OptimiserConfig
from models.training.settings import from_json

STAGE = "mel_rvq"


@dataclass(frozen=True)
class MelRvqRecipe:
    """Everything that a Mel-RVQ run depends on."""

    rvq: MelRVQConfig
    data: DataConfig
    optimiser: OptimiserConfig
    loop: LoopConfig


@dataclass(frozen=True)
class CodeUse:
    """How a codebook is used: perplexity (K when all codes are alike) and codes never chosen."""

    perplexity: float
    dead: int


class MelRvqTask:
    """Reconstruct stacked mel frames [B, D, S] from codes."""

    best_metric = "reconstruction"
    better: Better = "lower"

    def __init__(self, recipe: MelRvqRecipe, data: TrainingData) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.rvq = MelRVQ(recipe.rvq)
        self.module: torch.nn.Module = self.rvq
        loop = recipe.loop
        self.seed = loop.seed
        self.batches = CropBatches(data, recipe.data, loop.seed, loop.micro_batches)
        self.held_out = middle_crops(
            data, held_out_entries(data, 128), recipe.data.phases[0].frames
        )
        self._last: QuantizedResult | None = None

    def batch(self, position: int) -> Tensor:
        """Stacked frames [B, D, S] of the crops at this position."""
        crops = self.batches.crops(position)
        return fold_frames(self.batches.mels(crops, position))

    def loss(self, batch: Tensor) -> StepResult:
        """Codebook, commitment and reconstruction loss of stacked frames [B, D, S]."""
        result: QuantizedResult = self.rvq(batch.to(next(self.rvq.parameters()).device))
        self._last = result
        metrics: dict[str, float | Tensor] = {
            "reconstruction": result.reconstruction_loss.detach(),
            "commitment": result.commitment_loss.detach(),
            "codebook": result.codebook_loss.detach(),
        }
        for book, use in enumerate(code_use(result.codes, self.rvq.config.codebook_size)):
            metrics[f"perplexity.{book}"] = use.perplexity
        # Four frames of 10 ms are one token.
        return StepResult(result.loss, batch.shape[0] * batch.shape[2] * 0.04, metrics)

    def after_update(self, update: int) -> None:
        assert self._last is not None
        replace_unused_codes(self.rvq, self._last, self.seed, update)

    def validate(self) -> Mapping[str, float]:
        """Reconstruction error with 1..Q codebooks, and how each book is used."""
        if not len(self.held_out):
            return {}
        frames = fold_frames(self.held_out).to(next(self.rvq.parameters()).device)
        codes = self.rvq.encode(frames)
        numbers = {}
        for count in range(1, codes.shape[1] + 1):
            error = functional.l1_loss(self.rvq.decode(codes[:, :count]), frames)
            numbers[f"reconstruction_by_books.{count}"] = float(error)
        numbers["reconstruction"] = numbers[f"reconstruction_by_books.{codes.shape[1]}"]
        for book, use in enumerate(code_use(codes, self.rvq.config.codebook_size)):
            numbers[f"perplexity.{book}"] = use.perplexity
            numbers[f"dead_codes.{book}"] = use.dead
        return numbers

    def draw_plots(self, folder: Path) -> None:
        """Draw how often each code is used on held-out crops."""
        if len(self.held_out):
            frames = fold_frames(self.held_out).to(next(self.rvq.parameters()).device)
            plot_code_use(code_counts(self.rvq.encode(frames), self.rvq.config), folder)


def replace_unused_codes(rvq: MelRVQ, last: QuantizedResult, seed: int, update: int) -> int:
    """Replace codes that no process has used for too long, in all processes alike.

    `last` is this process's part of the update's last micro-batch; returns how many were replaced.
    """
    codes = distributed.gather_rows(last.codes)
    latents = distributed.gather_rows(last.latents.detach())
    together = dataclasses.replace(last, codes=codes, latents=latents)
    return replace_stale_codes(rvq, together, torch_stream(seed, update, STALE_CODES))


def code_use(codes: Tensor, codebook_size: int) -> list[CodeUse]:
    """Measure the use of each codebook in codes [B, Q, S]."""
    uses = []
    for book in codes.unbind(dim=1):
        counts = torch.bincount(book.flatten(), minlength=codebook_size).double()
        shares = counts / counts.sum()
        entropy = -(shares * shares.clamp(min=1e-12).log()).sum()
        uses.append(CodeUse(float(entropy.exp()), int((counts == 0).sum())))
    return uses


def code_counts(codes: Tensor, config: MelRVQConfig) -> NDArray[np.int64]:
    """Count how often each code of each codebook [Q, K] occurs in codes [B, Q, S]."""
    books = codes.unbind(dim=1)
    counts = [torch.bincount(book.flatten(), minlength=config.codebook_size) for book in books]
    return np.stack([count.cpu().numpy() for count in counts])


def train_mel_rvq(recipe: MelRvqRecipe, folder: Path, name: str, resume: bool) -> LoopResult:
    """Run the stage in `folder`, anew or from its last checkpoint."""
    data = open_training_data(recipe.data)
    run = Run.open(folder, STAGE, name, recipe, data.identity, resume)
    return fit(MelRvqTask(recipe, data), run, recipe.optimiser, recipe.loop, resume)


def load_mel_rvq(folder: Path) -> MelRVQ:
    """Return the quantizer of a finished run, in evaluation mode."""
    run = Run.open_existing(folder, STAGE)
    recipe = from_json(MelRvqRecipe, run.config["config"])
    rvq = MelRVQ(recipe.rvq)
    load_module(run.last_checkpoint, rvq)
    return rvq.eval()
