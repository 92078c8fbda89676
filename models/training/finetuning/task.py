"""What fine-tuning learns: tracks beside the words of their tags, without losing what was known.

Legend: B clips, M mel bins, F frames, L labels of a kind, K queries, E embedding width.

The text tower stays as it is, so texts are embedded once and keep their places; the audio tower
moves. Two losses pull: each clip towards the prompts of its labels, away from those of the kind's
other labels (and towards its caption, away from the batch's others); and the clip's ranking of
some 1,900 general queries towards what the original model says, so that words which no tag
of the library names stay where they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from models.losses import multi_positive_contrast
from models.networks.muq_mulan import AudioTower, MuQMuLan
from models.training import distributed
from models.training.augment import FRAME_RATE_HZ
from models.training.data import (
    CropBatches,
    DataConfig,
    TrainingData,
    held_out_entries,
    middle_crops,
)
from models.training.evaluate import embed_labels
from models.training.finetuning.library import labels_of
from models.training.finetuning.parent import Parent
from models.training.loop import Better, LoopConfig, StepResult
from models.training.manifest import ManifestEntry
from models.training.queries import vocabulary
from models.training.schedule import OptimiserConfig

STAGE = "finetune"
_VALIDATION_BATCH = 16
_MOST_VALIDATION_TRACKS = 200


@dataclass(frozen=True)
class FinetuneRecipe:
    """Everything that a fine-tuning run depends on.

    `bundle` names the model to start from, `library` the folder, `table` the CSV of its tags
    ("" where the files' own are used). `layers` of the audio tower's last conformer layers are
    trained, with the projections behind them; -1 trains the whole tower. `keep_weight` is how much
    the original's answers to general queries count.
    """

    bundle: str
    library: str
    table: str
    data: DataConfig
    optimiser: OptimiserConfig
    loop: LoopConfig
    layers: int = -1
    keep_weight: float = 1.0
    caption_weight: float = 0.5
    sharpness: float = 20.0

    def __post_init__(self) -> None:
        if self.layers < -1:
            raise ValueError("layers is how many of the last layers are trained, or -1 for all")
        if min(self.keep_weight, self.caption_weight) < 0 or self.sharpness <= 0:
            raise ValueError("weights must not be negative, sharpness must be above 0")


class TunedTower(nn.Module):
    """The audio tower while it is tuned: some of it frozen, batch norms as they were trained.

    Statistics of a few clips of one library would replace those of the whole training corpus.
    """

    def __init__(self, tower: AudioTower, layers: int) -> None:
        super().__init__()
        self.tower = tower
        if layers >= 0:
            tower.requires_grad_(False)
            count = len(tower.muq.conformer.layers)
            kept = list(tower.muq.conformer.layers)[count - min(layers, count) :]
            for part in (*kept, tower.projection, tower.transformer, tower.to_embedding):
                part.requires_grad_(True)
            if layers:
                tower.muq.conformer.norm.requires_grad_(True)
        # The head and the quantizer of pre-training are not on the way to an embedding.
        for idle in (tower.muq.head, tower.muq.rvq):
            if idle is not None:
                idle.requires_grad_(False)

    def train(self, mode: bool = True) -> TunedTower:
        """Training mode for all but batch norms."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, _BatchNorm):
                part.eval()
        return self

    def forward(self, mels: Tensor) -> Tensor:
        """Unit vectors [B, E] of mels [B, M, F]."""
        vectors: Tensor = self.tower(mels)
        return vectors


@dataclass(frozen=True)
class TunedBatch:
    """Mels [B, M, F] and the numbers of their tracks [B]."""

    mels: Tensor
    tracks: NDArray[np.int64]


class FinetuneTask:
    """Learn a library's labels with the audio tower of a parent model."""

    best_metric = "label_loss"
    better: Better = "lower"

    def __init__(self, recipe: FinetuneRecipe, data: TrainingData, parent: Parent) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe = recipe
        network = parent.network().requires_grad_(False)
        self.original: AudioTower = network.audio
        self.tuned = TunedTower(_trainable_copy(parent), recipe.layers)
        self.module: nn.Module = self.tuned
        self.temperature = float(network.contrastive.log_temperature.detach().exp())
        loop = recipe.loop
        self.batches = CropBatches(data, recipe.data, loop.seed, loop.micro_batches)
        entries = self.batches.sampler.entries
        self.labels = labels_of(entries)
        texts = ParentTexts(parent)
        self.prompts = {
            kind: torch.from_numpy(embed_labels(texts, words))
            for kind, words in self.labels.items()
        }
        self.general = torch.from_numpy(texts.embed_text(vocabulary()))
        self.truths = _truths(entries, self.labels)
        self.captions, self.caption_of = _captions(entries, texts)
        held = held_out_entries(data, _MOST_VALIDATION_TRACKS)
        self.held_out = middle_crops(data, held, recipe.data.phases[0].frames)
        self.held_truths = _truths(held, self.labels)
        if not self.labels and not len(self.captions):
            raise ValueError("the tracks to learn from have no two labels of a kind, nor captions")

    def batch(self, position: int) -> TunedBatch:
        """Crops at this position."""
        crops = self.batches.crops(position)
        mine = distributed.local_slice(len(crops.tracks))
        return TunedBatch(self.batches.mels(crops, position), crops.tracks[mine])

    def loss(self, batch: TunedBatch) -> StepResult:
        """Labels, captions, and what the original says of general queries."""
        mels = batch.mels.to(self._device)
        audio = self.tuned(mels).float()
        with torch.no_grad():
            before = self.original.to(self._device)(mels).float()
        seconds = mels.shape[0] * mels.shape[2] / FRAME_RATE_HZ
        with torch.autocast(self._device.type, enabled=False):
            labels = self._label_loss(audio, self.truths, batch.tracks)
            keep = self._keep_loss(audio, before)
            captions = self._caption_loss(audio, batch.tracks)
        total = labels + self.recipe.keep_weight * keep + self.recipe.caption_weight * captions
        metrics: dict[str, float | Tensor] = {
            "label_loss": labels.detach(), "keep": keep.detach(), "caption": captions.detach(),
            "moved": 1.0 - (audio * before).sum(dim=1).mean().detach(),
        }  # fmt: skip
        return StepResult(total, seconds, metrics)

    def after_update(self, update: int) -> None: ...

    def validate(self) -> Mapping[str, float]:
        """Label loss on the middle crops of the tracks to stop by."""
        return self.held_out_numbers(self.tuned)

    def held_out_numbers(self, tower: nn.Module) -> dict[str, float]:
        """What a tower's validation gives; the original's is where a run starts."""
        parts = torch.split(self.held_out, _VALIDATION_BATCH)
        with torch.no_grad():
            audio = torch.cat([tower(part.to(self._device)).float() for part in parts])
            numbers = np.arange(len(audio))
            with torch.autocast(self._device.type, enabled=False):
                loss = self._label_loss(audio, self.held_truths, numbers)
        return {"label_loss": float(loss)}

    def draw_plots(self, folder: Path) -> None: ...

    @property
    def _device(self) -> torch.device:
        return self.tuned.tower.to_embedding.weight.device

    def _label_loss(
        self, audio: Tensor, truths: Mapping[str, Tensor], tracks: NDArray[np.int64]
    ) -> Tensor:
        """Mean over kinds of the cross-entropy between a clip's labels and all of the kind."""
        losses = []
        for kind, prompts in self.prompts.items():
            truth = truths[kind][torch.from_numpy(tracks)].to(audio.device)
            counts = truth.sum(dim=1)
            if bool((counts > 0).any()):
                scores = self.temperature * audio @ prompts.to(audio.device).T
                named = counts > 0
                right = (functional.log_softmax(scores, dim=1) * truth).sum(dim=1)
                losses.append(-(right[named] / counts[named]).mean())
        return torch.stack(losses).mean() if losses else torch.zeros((), device=audio.device)

    def _keep_loss(self, audio: Tensor, before: Tensor) -> Tensor:
        """Divergence of the clips' rankings of general queries from the original's."""
        general = self.general.to(audio.device)
        old = functional.log_softmax(self.recipe.sharpness * before @ general.T, dim=1)
        new = functional.log_softmax(self.recipe.sharpness * audio @ general.T, dim=1)
        return functional.kl_div(new, old, reduction="batchmean", log_target=True)

    def _caption_loss(self, audio: Tensor, tracks: NDArray[np.int64]) -> Tensor:
        numbers = self.caption_of[tracks]
        spoken = np.flatnonzero(numbers >= 0)
        if len(np.unique(numbers[spoken])) < 2:
            return torch.zeros((), device=audio.device)
        text = self.captions[torch.from_numpy(numbers[spoken])].to(audio.device)
        same = torch.from_numpy(numbers[spoken][:, None] == numbers[spoken][None, :])
        scores = self.temperature * audio[spoken] @ text.T
        return multi_positive_contrast(scores, same.to(audio.device), decoupled=False)


class ParentTexts:
    """A parent's text side, as evaluation wants it."""

    def __init__(self, parent: Parent) -> None:
        self._encoder = parent.encoder

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors [N, E]."""
        return self._encoder.embed_text(texts)

    def embed_mels(self, mels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Refused: a text side hears nothing."""
        raise TypeError("texts only")


def _trainable_copy(parent: Parent) -> AudioTower:
    network: MuQMuLan = parent.network()
    return network.audio.requires_grad_(True)


def _truths(
    entries: Sequence[ManifestEntry], labels: Mapping[str, Sequence[str]]
) -> dict[str, Tensor]:
    """Which tracks carry which labels, by kind [N, L]."""
    return {
        kind: torch.tensor(
            [[float(word in entry.tags.get(kind, ())) for word in words] for entry in entries]
        ).reshape(len(entries), len(words))
        for kind, words in labels.items()
    }


def _captions(
    entries: Sequence[ManifestEntry], texts: ParentTexts
) -> tuple[Tensor, NDArray[np.int64]]:
    """Vectors of the different captions, and each track's first one by number (-1: none)."""
    first = [next((c.text for c in e.captions if c.kind == "fact"), None) for e in entries]
    unique = sorted({text for text in first if text is not None})
    places = {text: number for number, text in enumerate(unique)}
    numbers = [-1 if text is None else places[text] for text in first]
    return torch.from_numpy(texts.embed_text(unique)), np.array(numbers, dtype=np.int64)
