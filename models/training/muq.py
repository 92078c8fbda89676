"""Stage muq: masked prediction of codes, wherever they come from (`models.training.targets`).

Legend: B batch, M mel bins, F frames, S tokens, Q codebooks, K codes.

Source: the published pre-training. Where we depart: masking is done in the log-mel, so that mels
can be cached (`MelMasking` says what that changes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.losses import MaskedPrediction, masked_prediction
from models.networks.config import MuQConfig
from models.networks.masking import MaskPlan, MelMasking
from models.networks.muq import MuQ
from models.networks.random_projection import RandomProjectionConfig
from models.training.augment import FRAME_RATE_HZ
from models.training.checkpoint import load_module
from models.training.data import (
    CropBatches,
    Crops,
    DataConfig,
    TrainingData,
    batch_part,
    held_out_entries,
    middle_starts,
    open_training_data,
    read_crops,
)
from models.training.encodec_labels import EncodecConfig, label_with_encodec
from models.training.loop import Better, LoopConfig, LoopResult, StepResult, fit, pick_device
from models.training.randomness import MASKS, torch_stream
from models.training.run import Run
from models.training.schedule import OptimiserConfig
from models.training.settings import from_json
from models.training.targets import as_float32, open_target

STAGE = "muq"
_VALIDATION_BATCH = 32


@dataclass(frozen=True)
class MuqRecipe:
    """Everything that a masked-prediction run depends on.

    Targets are the codes of the quantizer in `rvq_run` (with one codebook: of a single VQ); or
    those of a random projection; or, for a further iteration, the labels that stage relabel wrote
    into `label_folder`; or EnCodec's, which are written into the run's folder `labels` first.
    `muq.rvq` is there in the first case only.
    """

    muq: MuQConfig
    data: DataConfig
    optimiser: OptimiserConfig
    loop: LoopConfig
    rvq_run: str = ""
    label_folder: str = ""
    random_projection: RandomProjectionConfig | None = None
    encodec: EncodecConfig | None = None

    def __post_init__(self) -> None:
        named = (self.muq.rvq, self.random_projection, self.label_folder or None, self.encodec)
        if sum(target is not None for target in named) != 1:
            raise ValueError(
                "a recipe has one target: muq.rvq, random_projection, label_folder or encodec; "
                "the others must be none"
            )


@dataclass(frozen=True)
class MuqBatch:
    """Clean mels [B, M, F], their codes [B, Q, S] where stored, and what to hide of them.

    `share` is what the masked tokens of this part are of an equal share of the whole batch's.
    """

    mels: Tensor
    stored: Tensor | None
    plan: MaskPlan
    share: float = 1.0


class MuqTask:
    """Predict the codes of hidden stretches from what is around them."""

    best_metric = "loss"
    better: Better = "lower"

    def __init__(self, recipe: MuqRecipe, data: TrainingData, label_folder: str = "") -> None:
        torch.manual_seed(recipe.loop.seed)
        self.muq = MuQ(recipe.muq)
        self.module: torch.nn.Module = self.muq
        self.target = open_target(
            self.muq, recipe.rvq_run, recipe.random_projection, label_folder or recipe.label_folder
        )
        self.seed = recipe.loop.seed
        self.batches = CropBatches(data, recipe.data, self.seed, recipe.loop.micro_batches)
        self.masking = MelMasking(recipe.muq, generator=torch_stream(self.seed, 0, MASKS))
        self.held_out = self._held_out(data, recipe.data.phases[0].frames)

    def batch(self, position: int) -> MuqBatch:
        """Crops at this position, and their codes where they are stored."""
        drawn = self.batches.crops(position)
        placed = self.target.place(self.batches.files(drawn), drawn)
        part = batch_part(len(drawn.tracks))
        generator = torch_stream(self.seed, position + 1, MASKS)
        plan = self.masking.draw(part.of, drawn.frames, generator)
        mine = plan.rows(part.rows)
        share = float(mine.blocks.double().mean() / plan.blocks.double().mean())
        if share == 0:
            # Nothing of this part is hidden: its loss, of no weight, must be defined all the same.
            mine = MaskPlan(torch.ones_like(mine.blocks), mine.noise_starts)
        stored = placed.stored if placed.stored is None else placed.stored[part.rows]
        return MuqBatch(self.batches.mels(placed.crops, position), stored, mine, share)

    def loss(self, batch: MuqBatch) -> StepResult:
        """Cross-entropy over masked tokens and codebooks."""
        result = self._predict(batch)
        metrics: dict[str, float | Tensor] = {"accuracy": result.accuracy.detach() * batch.share}
        for book, accuracy in enumerate(result.codebook_accuracies):
            metrics[f"book_accuracy.{book}"] = accuracy.detach() * batch.share
        seconds = batch.mels.shape[0] * batch.mels.shape[2] / FRAME_RATE_HZ
        # The mean over processes is then the mean over all masked tokens.
        return StepResult(result.loss * batch.share, seconds, metrics)

    def after_update(self, update: int) -> None: ...

    def validate(self) -> Mapping[str, float]:
        """Loss and accuracy on held-out crops under masks that never change."""
        results = [self._predict(batch) for batch in self.held_out]
        if not results:
            return {}
        numbers = {
            "loss": float(np.mean([float(r.loss) for r in results])),
            "accuracy": float(np.mean([float(r.accuracy) for r in results])),
        }
        books = torch.stack([r.codebook_accuracies for r in results]).mean(dim=0)
        return numbers | {f"book_accuracy.{i}": float(v) for i, v in enumerate(books)}

    def draw_plots(self, folder: Path) -> None: ...

    def _held_out(self, data: TrainingData, frames: int) -> list[MuqBatch]:
        """Crops from the middle of validation tracks, under masks that never change."""
        held = [e for e in held_out_entries(data, limit=128) if self.target.covers(e.sha256)]
        batches = []
        for number, first in enumerate(range(0, len(held), _VALIDATION_BATCH)):
            files = [entry.sha256 for entry in held[first : first + _VALIDATION_BATCH]]
            starts = middle_starts(data.cache, files, frames)
            placed = self.target.place(files, Crops(np.arange(len(files)), starts, frames))
            plan = self.masking.draw(len(files), frames, torch_stream(0, number, MASKS))
            mels = read_crops(data.cache, files, placed.crops)
            batches.append(MuqBatch(mels, placed.stored, plan))
        return batches

    def _predict(self, batch: MuqBatch) -> MaskedPrediction:
        mels = batch.mels.to(next(self.muq.parameters()).device)
        masked = self.masking.apply(mels, batch.plan)
        codes = as_float32(mels, self.target, batch.stored)
        logits = self.muq(masked.inputs).logits
        return masked_prediction(logits.float(), codes, masked.token_mask.to(mels.device))


def train_muq(recipe: MuqRecipe, folder: Path, name: str, resume: bool) -> LoopResult:
    """Run the stage in `folder`, anew or from its last checkpoint."""
    data = open_training_data(recipe.data)
    labels = ""
    if recipe.encodec is not None:
        # Before the run begins: labelling that was interrupted goes on without --resume.
        labels = str(folder / "labels")
        root, device = Path(recipe.data.manifest).parent, pick_device(recipe.loop.device)
        label_with_encodec(recipe.encodec, data, root, Path(labels), device)
    run = Run.open(folder, STAGE, name, recipe, data.identity, resume)
    return fit(MuqTask(recipe, data, labels), run, recipe.optimiser, recipe.loop, resume)


def load_muq(folder: Path, checkpoint: str = "last") -> MuQ:
    """Return the network of a run's checkpoint of that name, in evaluation mode.

    RunError where the run has no such checkpoint.
    """
    run = Run.open_existing(folder, STAGE)
    recipe = from_json(MuqRecipe, run.config["config"])
    muq = MuQ(recipe.muq)
    load_module(run.find_checkpoint(checkpoint), muq)
    return muq.eval()
