"""Stage relabel: a quantizer over a trained MuQ's states, and its codes as labels for the next MuQ.

Legend: B batch, M mel bins, F frames, S tokens, D width of a state, Q codebooks.

Source: an earlier variant of the authors' code. Where we depart: labels cover whole tracks (each
token once, from consecutive segments), so that a crop may start at any token and not at stored
segments only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import MelRVQConfig
from models.networks.mel_rvq import MelRVQ, QuantizedResult
from models.networks.muq import MuQ
from models.training import distributed
from models.training.augment import FRAME_RATE_HZ
from models.training.data import (
    CropBatches,
    DataConfig,
    MelSource,
    TrainingData,
    held_out_entries,
    middle_crops,
    open_training_data,
)
from models.training.labels import LabelSettings, LabelWriter
from models.training.loop import Better, LoopConfig, LoopResult, StepResult, fit, pick_device
from models.training.mel_rvq import code_counts, code_use, replace_unused_codes
from models.training.muq import load_muq
from models.training.plots import plot_code_use
from models.training.run import Run
from models.training.schedule import OptimiserConfig

STAGE = "relabel"


@dataclass(frozen=True)
class RelabelRecipe:
    """Everything that a relabelling depends on.

    `layer_index` counts hidden states, 0 being what the first layer reads; the source used 9 of
    12. Labels go to the run's folder `labels`. Segments are what the network sees at a time.
    """

    rvq: MelRVQConfig
    data: DataConfig
    optimiser: OptimiserConfig
    loop: LoopConfig
    muq_run: str = ""
    layer_index: int = 9
    segment_s: float = 30.0


class RelabelTask:
    """Reconstruct the states [B, D, S] of one layer of a MuQ that is no longer trained."""

    best_metric = "reconstruction"
    better: Better = "lower"

    def __init__(self, recipe: RelabelRecipe, data: TrainingData) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe = recipe
        self.muq = load_muq(Path(recipe.muq_run)).requires_grad_(False)
        self.muq.to(pick_device(recipe.loop.device))
        shape = self.muq.config.conformer
        if recipe.rvq.input_dim != shape.width or recipe.layer_index > shape.layers:
            raise ValueError(
                f"{recipe.muq_run} has {shape.layers} layers of width {shape.width}: "
                "set layer_index and rvq.input_dim to match"
            )
        self.rvq = MelRVQ(recipe.rvq)
        self.module: nn.Module = self.rvq
        loop = recipe.loop
        self.batches = CropBatches(data, recipe.data, loop.seed, loop.micro_batches)
        held = held_out_entries(data, 64)
        self.held_out = middle_crops(data, held, recipe.data.phases[0].frames)
        self._last: QuantizedResult | None = None

    def batch(self, position: int) -> Tensor:
        """Crops [B, M, F] at this position."""
        return self.batches.mels(self.batches.crops(position), position)

    def loss(self, batch: Tensor) -> StepResult:
        """Codebook, commitment and reconstruction loss of the layer's states."""
        states = layer_states(self.muq, batch, self.recipe.layer_index)
        result: QuantizedResult = self.rvq(states)
        self._last = result
        metrics: dict[str, float | Tensor] = {"reconstruction": result.reconstruction_loss.detach()}
        for book, use in enumerate(code_use(result.codes, self.rvq.config.codebook_size)):
            metrics[f"perplexity.{book}"] = use.perplexity
        return StepResult(result.loss, batch.shape[0] * batch.shape[2] / FRAME_RATE_HZ, metrics)

    def after_update(self, update: int) -> None:
        assert self._last is not None
        replace_unused_codes(self.rvq, self._last, self.recipe.loop.seed, update)

    def validate(self) -> Mapping[str, float]:
        """Reconstruction error on held-out crops, and how each book is used."""
        if not len(self.held_out):
            return {}
        states = layer_states(self.muq, self.held_out, self.recipe.layer_index)
        codes = self.rvq.encode(states)
        numbers = {"reconstruction": float(functional.l1_loss(self.rvq.decode(codes), states))}
        for book, use in enumerate(code_use(codes, self.rvq.config.codebook_size)):
            numbers[f"perplexity.{book}"] = use.perplexity
            numbers[f"dead_codes.{book}"] = use.dead
        return numbers

    def draw_plots(self, folder: Path) -> None:
        """Draw how often each code is used on held-out crops."""
        if len(self.held_out):
            states = layer_states(self.muq, self.held_out, self.recipe.layer_index)
            plot_code_use(code_counts(self.rvq.encode(states), self.rvq.config), folder)


@torch.no_grad()
def layer_states(muq: MuQ, mels: Tensor, layer_index: int) -> Tensor:
    """Return one layer's hidden states [B, D, S] of mels [B, M, F], in evaluation mode."""
    muq.eval()
    device = next(muq.parameters()).device
    return muq.hidden_states(mels.to(device))[layer_index].transpose(1, 2).float()


@torch.no_grad()
def label_corpus(
    muq: MuQ, rvq: MelRVQ, data: TrainingData, folder: Path, settings: LabelSettings,
    layer_index: int, segment_s: float,
) -> int:  # fmt: skip
    """Label every track that the folder lacks; return how many were added."""
    writer = LabelWriter(folder, settings)
    todo = [e for e in data.entries if e.sha256 in data.cache and e.sha256 not in writer.done]
    todo = list({entry.sha256: entry for entry in todo}.values())
    segment = round(segment_s * FRAME_RATE_HZ)
    started = time.monotonic()
    for number, entry in enumerate(todo, start=1):
        codes = label_track(muq, rvq, data.cache, entry.sha256, layer_index, segment)
        writer.add(entry.sha256, codes.cpu().numpy())
        if number % 50 == 0 or number == len(todo):
            elapsed_s = time.monotonic() - started
            eta_s = elapsed_s / number * (len(todo) - number)
            print(f"labelled {number}/{len(todo)} tracks, ETA {eta_s:.0f} s", file=sys.stderr)
    return len(todo)


def label_track(
    muq: MuQ, rvq: MelRVQ, cache: MelSource, sha256: str, layer_index: int, segment_frames: int
) -> Tensor:
    """Return a track's codes [S, Q], from consecutive segments; the last one may be short."""
    fold = muq.config.frames_per_token
    whole = cache.frames(sha256) - cache.frames(sha256) % fold
    parts = []
    for start in range(0, whole, segment_frames):
        count = min(segment_frames, whole - start)
        mel = torch.from_numpy(cache.read(sha256, start, count)).T[None]
        parts.append(rvq.encode(layer_states(muq, mel, layer_index))[0].T)
    return torch.cat(parts)


def train_relabel(recipe: RelabelRecipe, folder: Path, name: str, resume: bool) -> LoopResult:
    """Fit the quantizer, then label the manifest into `folder`/labels; both resume."""
    data = open_training_data(recipe.data)
    run = Run.open(folder, STAGE, name, recipe, data.identity, resume)
    task = RelabelTask(recipe, data)
    result = fit(task, run, recipe.optimiser, recipe.loop, resume)
    task.rvq.eval()
    settings = LabelSettings(
        codebooks=recipe.rvq.codebooks,
        codebook_size=recipe.rvq.codebook_size,
        frames_per_token=task.muq.config.frames_per_token,
        source=json.dumps({"muq_run": recipe.muq_run, "layer_index": recipe.layer_index}),
    )
    if distributed.is_first():
        label_corpus(
            task.muq, task.rvq, data, folder / "labels", settings,
            recipe.layer_index, recipe.segment_s,
        )  # fmt: skip
    return result
