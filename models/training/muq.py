"""Stage muq: masked prediction of Mel-RVQ codes, or of the labels of a former iteration.

Legend: B batch, M mel bins, F frames, S tokens, Q codebooks, K codes.

Source: muq.md sections 4 and 5. Where we depart: masking is done in the log-mel, so that mels can
be cached (`MelMasking` says what that changes).
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
from models.networks.masking import MelMasking
from models.networks.muq import MuQ
from models.training import distributed
from models.training.checkpoint import load_module
from models.training.data import (
    FRAME_RATE_HZ,
    CropBatches,
    DataConfig,
    TrainingData,
    held_out_entries,
    middle_crops,
    open_training_data,
)
from models.training.labels import LabelStore
from models.training.loop import Better, LoopConfig, LoopResult, StepResult, fit
from models.training.mel_rvq import load_mel_rvq
from models.training.run import Run
from models.training.schedule import OptimiserConfig
from models.training.settings import from_json

STAGE = "muq"
_VALIDATION_BATCH = 32


@dataclass(frozen=True)
class MuqRecipe:
    """Everything that a masked-prediction run depends on.

    Targets are the codes of the quantizer in `rvq_run`; or, for a further iteration, the labels
    that stage relabel wrote into `label_folder`, and then `muq.rvq` is None.
    """

    muq: MuQConfig
    data: DataConfig
    optimiser: OptimiserConfig
    loop: LoopConfig
    rvq_run: str = ""
    label_folder: str = ""

    def __post_init__(self) -> None:
        if bool(self.label_folder) != (self.muq.rvq is None):
            raise ValueError("labels replace the quantizer: set label_folder where muq.rvq is None")


@dataclass(frozen=True)
class MuqBatch:
    """Clean mels [B, M, F], their targets [B, Q, S] where stored, and the micro-batch's number."""

    mels: Tensor
    labels: Tensor | None
    position: int


class MuqTask:
    """Predict the codes of hidden stretches from what is around them."""

    best_metric = "loss"
    better: Better = "lower"

    def __init__(self, recipe: MuqRecipe, data: TrainingData) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.muq = MuQ(recipe.muq)
        self.module: torch.nn.Module = self.muq
        if self.muq.rvq is not None and recipe.rvq_run:
            self.muq.rvq.load_state_dict(load_mel_rvq(Path(recipe.rvq_run)).state_dict())
        if self.muq.rvq is not None:
            self.muq.rvq.requires_grad_(False)
        self.labels = LabelStore(Path(recipe.label_folder)) if recipe.label_folder else None
        self.seed = recipe.loop.seed
        self.batches = CropBatches(data, recipe.data, self.seed, recipe.loop.micro_batches)
        self.masking = MelMasking(recipe.muq, generator=_generator(self.seed, 0))
        # Stored labels stand on a grid of tokens, and exist for training tracks only.
        held = [] if self.labels else held_out_entries(data, limit=128)
        self.held_out = middle_crops(data, held, recipe.data.phases[0].frames)

    def batch(self, position: int) -> MuqBatch:
        """Crops at this position, and their labels where they are stored."""
        crops = self.batches.crops(position)
        if self.labels is None:
            return MuqBatch(self.batches.mels(crops, position), None, position)
        files = [self.batches.sampler.entries[i].sha256 for i in crops.tracks]
        crops.starts[:] -= crops.starts % self.labels.frames_per_token
        labels = self.labels.read(files, crops.starts, crops.frames)
        return MuqBatch(self.batches.mels(crops, position), labels, position)

    def loss(self, batch: MuqBatch) -> StepResult:
        """Cross-entropy over masked tokens and codebooks."""
        turn = batch.position * distributed.world_size() + distributed.rank()
        result = self._predict(batch.mels, batch.labels, _generator(self.seed, turn + 1))
        metrics: dict[str, float | Tensor] = {"accuracy": result.accuracy.detach()}
        for book, accuracy in enumerate(result.codebook_accuracies):
            metrics[f"book_accuracy.{book}"] = accuracy.detach()
        seconds = (
            batch.mels.shape[0] * batch.mels.shape[2] / FRAME_RATE_HZ * distributed.world_size()
        )
        return StepResult(result.loss, seconds, metrics)

    def after_update(self, update: int) -> None: ...

    def validate(self) -> Mapping[str, float]:
        """Loss and accuracy on held-out crops under masks that never change."""
        parts = torch.split(self.held_out, _VALIDATION_BATCH) if len(self.held_out) else ()
        results = [self._predict(p, None, _generator(0, i)) for i, p in enumerate(parts)]
        if not results:
            return {}
        numbers = {
            "loss": float(np.mean([float(r.loss) for r in results])),
            "accuracy": float(np.mean([float(r.accuracy) for r in results])),
        }
        books = torch.stack([r.codebook_accuracies for r in results]).mean(dim=0)
        return numbers | {f"book_accuracy.{i}": float(v) for i, v in enumerate(books)}

    def _predict(
        self, mels: Tensor, labels: Tensor | None, generator: torch.Generator
    ) -> MaskedPrediction:
        device = next(self.muq.parameters()).device
        mels = mels.to(device)
        masked = self.masking(mels, generator)
        if labels is None:
            # Codes of a rounded projection would be other codes.
            with torch.autocast(device.type, enabled=False):
                codes = self.muq.target_codes(mels)
        else:
            codes = labels.to(device)
        logits = self.muq(masked.inputs).logits
        return masked_prediction(logits.float(), codes, masked.token_mask.to(device))


def _generator(seed: int, turn: int) -> torch.Generator:
    # One independent stream for each (seed, turn), as numpy mixes them.
    mixed = int(np.random.SeedSequence([seed, turn, 3]).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(mixed)


def train_muq(recipe: MuqRecipe, folder: Path, name: str, resume: bool) -> LoopResult:
    """Run the stage in `folder`, anew or from its last checkpoint."""
    data = open_training_data(recipe.data)
    run = Run.open(folder, STAGE, name, recipe, data.identity, resume)
    return fit(MuqTask(recipe, data), run, recipe.optimiser, recipe.loop, resume)


def load_muq(folder: Path) -> MuQ:
    """Return the network of a run's last checkpoint, in evaluation mode."""
    run = Run.open_existing(folder, STAGE)
    recipe = from_json(MuqRecipe, run.config["config"])
    muq = MuQ(recipe.muq)
    load_module(run.last_checkpoint, muq)
    return muq.eval()
