"""Stage mulan: bring music and texts into one space by contrast, and optionally by a teacher.

Legend: B clips (pairs), M mel bins, F frames, K queries, E embedding width.

Source: muq.md section 8. Where we depart: the text encoder reads every text once, before training;
pairs of the batch that share their text are not each other's negatives; gradients across processes
are the true ones; the temperature's logarithm stays below ln 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.losses import ContrastiveLoss, sigmoid_contrast, softmax_contrast
from models.networks.config import MuQMuLanConfig
from models.networks.muq_mulan import MuQMuLan
from models.training import distributed
from models.training.captions import CaptionWeights, WeightedTexts, texts_of
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
from models.training.distill import (
    DistillConfig,
    DistillHeads,
    LabelledWindows,
    Lesson,
    distill,
    load_teacher,
)
from models.training.loop import Better, LoopConfig, LoopResult, StepResult, fit
from models.training.metrics import retrieval_ranks, retrieval_scores
from models.training.muq import load_muq
from models.training.queries import query_texts
from models.training.run import Run
from models.training.schedule import OptimiserConfig
from models.training.settings import from_json
from models.training.teacher.search import spoken_tags, tag_weights
from models.training.teacher.vocabulary import TEACHER_TAGS
from models.training.text_table import (
    TableBackbone,
    TextReader,
    TextReading,
    open_text_reader,
)

STAGE = "mulan"
_MOST_LOG_TEMPERATURE = math.log(100.0)
_VALIDATION_BATCH = 32
_VALIDATION_TRACKS = 160


@dataclass(frozen=True)
class MulanRecipe:
    """Everything that a contrastive run depends on.

    `muq_run` starts the audio tower from a pre-trained MuQ; `start_from` starts everything from
    another mulan run, to train it on.
    """

    network: MuQMuLanConfig
    data: DataConfig
    optimiser: OptimiserConfig
    loop: LoopConfig
    text_folder: str
    text_reading: TextReading = "pooled"
    captions: CaptionWeights = field(default_factory=CaptionWeights)
    contrast_weight: float = 1.0
    distill: DistillConfig = field(default_factory=DistillConfig)
    muq_run: str = ""
    start_from: str = ""
    validation_crop_s: float = 10.0

    def __post_init__(self) -> None:
        if self.network.text is not None or not self.network.freeze_text_encoder:
            raise ValueError("texts are read once: the text encoder must be outside, and frozen")


class MulanModule(nn.Module):
    """All that is trained: both towers, the temperature, and what a teacher needs."""

    def __init__(self, mulan: MuQMuLan, heads: DistillHeads | None) -> None:
        super().__init__()
        self.mulan, self.heads = mulan, heads


@dataclass(frozen=True)
class MulanBatch:
    """Mels [B, M, F], text number and teacher row of each clip (-1: none) [B], queries [K]."""

    mels: Tensor
    texts: NDArray[np.int64]
    rows: NDArray[np.int64]
    queries: NDArray[np.int64]


class MulanTask:
    """Contrast of clips and their captions, and agreement with a teacher where one is given."""

    best_metric = "mrr"
    better: Better = "higher"

    def __init__(self, recipe: MulanRecipe, data: TrainingData) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.data = recipe, data
        reader = open_text_reader(Path(recipe.text_folder), recipe.text_reading)
        loop = recipe.loop
        self.batches = CropBatches(data, recipe.data, loop.seed, loop.micro_batches)
        self.texts = [texts_of(entry, recipe.captions) for entry in self.batches.sampler.entries]
        self.teacher = _Teacher(recipe, data, reader) if recipe.distill.labels else None
        self.held_out, held_texts = self._held_out_pairs()
        asked = self.teacher.queries if self.teacher else []
        spoken = [text for choice in self.texts for text in choice.texts]
        self.table = reader.table([*spoken, *asked, *held_texts])
        self.numbers = [np.array([self.table.index(t) for t in c.texts]) for c in self.texts]
        self.query_numbers = np.array([self.table.index(text) for text in asked], dtype=np.int64)
        self.held_numbers = np.array([self.table.index(t) for t in held_texts], dtype=np.int64)
        mulan = MuQMuLan(recipe.network, text_encoder=TableBackbone(self.table))
        heads = self.teacher.make_heads(recipe.network.embed_dim) if self.teacher else None
        self.towers = MulanModule(mulan, heads)
        self.module: nn.Module = self.towers
        _start_weights(recipe, mulan)

    def batch(self, position: int) -> MulanBatch:
        """Clips at this position, a caption drawn for each, and queries for the teacher."""
        crops = self.batches.crops(position)
        files = [self.batches.sampler.entries[i].sha256 for i in crops.tracks]
        seed = self.recipe.loop.seed
        rows = np.full(len(files), -1, dtype=np.int64)
        queries = np.zeros(0, dtype=np.int64)
        if self.teacher:
            own = np.random.default_rng([seed, position, 4, distributed.rank()])
            crops, rows = self.teacher.windows.place(files, crops, own)
            # Every process asks the same queries.
            shared = np.random.default_rng([seed, position, 5])
            count = min(self.recipe.distill.queries, len(self.query_numbers))
            queries = shared.permutation(len(self.query_numbers))[:count]
        words = np.random.default_rng([seed, position, 6, distributed.rank()])
        texts = np.array([self._draw_text(int(track), words) for track in crops.tracks])
        return MulanBatch(self.batches.mels(crops, position), texts, rows, queries)

    def loss(self, batch: MulanBatch) -> StepResult:
        """Weighted sum of the contrast and of what the teacher teaches."""
        audio = self.towers.mulan.audio(batch.mels.to(self._device)).float()
        # Similarities keep float32: in bfloat16 neighbours in rank would share a value.
        with torch.autocast(self._device.type, enabled=False):
            return self._compare(audio, batch)

    def _compare(self, audio: Tensor, batch: MulanBatch) -> StepResult:
        mulan, device = self.towers.mulan, self._device
        metrics: dict[str, float | Tensor] = {}
        total = torch.zeros((), device=device)
        paired = np.flatnonzero(batch.texts >= 0)
        if self.recipe.contrast_weight and len(paired) > 1:
            spoken = self.embed_texts(batch.texts[paired]).float()
            contrast = self._contrast(audio[paired], spoken, batch.texts[paired])
            total = total + self.recipe.contrast_weight * contrast
            metrics["contrast"] = contrast.detach()
            metrics["temperature"] = mulan.contrastive.log_temperature.detach().exp()
        if self.teacher and len(batch.queries):
            total = total + self._learn_from_teacher(audio, batch, metrics)
        seconds = (
            batch.mels.shape[0] * batch.mels.shape[2] / FRAME_RATE_HZ * distributed.world_size()
        )
        return StepResult(total, seconds, metrics)

    def after_update(self, update: int) -> None:
        """Keep the temperature where a bfloat16 softmax still has a gradient."""
        with torch.no_grad():
            self.towers.mulan.contrastive.log_temperature.clamp_(max=_MOST_LOG_TEMPERATURE)

    def validate(self) -> Mapping[str, float]:
        """Retrieval among held-out tracks by their own captions, both ways."""
        if len(self.held_out) < 2:
            return {}
        parts = torch.split(self.held_out, _VALIDATION_BATCH)
        clips = torch.cat([self.towers.mulan.audio(p.to(self._device)).float() for p in parts])
        with torch.autocast(self._device.type, enabled=False):
            spoken = self.embed_texts(self.held_numbers)
            similarity = (spoken @ clips.T).cpu().numpy()
        relevant = self.held_numbers[:, None] == self.held_numbers[None, :]
        forward = retrieval_scores(retrieval_ranks(similarity, relevant))
        back = retrieval_scores(retrieval_ranks(similarity.T, relevant.T))
        return {
            "mrr": forward.mrr,
            "recall.1": forward.recall[1],
            "recall.10": forward.recall[10],
            "mrr_audio_to_text": back.mrr,
            "median_rank": forward.median_rank,
        }

    def embed_texts(self, numbers: NDArray[np.int64]) -> Tensor:
        """Unit vectors [B, E] of texts by their numbers in the table."""
        batch = self.table.batch(numbers)
        vectors: Tensor = self.towers.mulan.text(
            batch.rows.to(self._device), batch.mask.to(self._device)
        )
        return vectors

    @property
    def _device(self) -> torch.device:
        return self.towers.mulan.contrastive.log_temperature.device

    def _draw_text(self, track: int, rng: np.random.Generator) -> int:
        point = rng.random()
        choice: WeightedTexts = self.texts[track]
        if not choice.texts:
            return -1
        place = int(np.searchsorted(np.cumsum(choice.chances), point))
        return int(self.numbers[track][min(place, len(choice.texts) - 1)])

    def _contrast(self, audio: Tensor, spoken: Tensor, numbers: NDArray[np.int64]) -> Tensor:
        everything = distributed.gather_rows(audio), distributed.gather_rows(spoken)
        same = distributed.gather_rows(torch.from_numpy(numbers).to(audio.device)[:, None])
        return contrast(self.towers.mulan.contrastive, *everything, same[:, 0])

    def _learn_from_teacher(
        self, audio: Tensor, batch: MulanBatch, metrics: dict[str, float | Tensor]
    ) -> Tensor:
        assert self.teacher is not None
        assert self.towers.heads is not None
        config = self.recipe.distill
        heard = np.flatnonzero(batch.rows >= 0)
        if len(heard) < 2:
            return torch.zeros((), device=audio.device)
        queries = self.embed_texts(self.query_numbers[batch.queries]).float()
        lesson = self.teacher.lesson(batch.queries, batch.rows[heard], audio.device)
        losses = distill(self.towers.heads, audio[heard], queries, lesson, config.sharpness)
        metrics["distill_clips"] = losses.over_clips.detach()
        metrics["distill_queries"] = losses.over_queries.detach()
        metrics["distill_tags"] = losses.tags.detach()
        metrics["distill_embedding"] = losses.embedding.detach()
        return losses.total(config)

    def _held_out_pairs(self) -> tuple[Tensor, list[str]]:
        """Mels [N, M, F] of validation tracks that have a caption, and one caption of each."""
        held = held_out_entries(self.data, limit=_VALIDATION_TRACKS)
        spoken = [entry for entry in held if entry.captions]
        frames = round(self.recipe.validation_crop_s * FRAME_RATE_HZ)
        mels = middle_crops(self.data, spoken, frames)
        return mels, [entry.captions[0].text for entry in spoken]


class _Teacher:
    """The teacher's labels, the queries it can answer, and how its tags weigh for each."""

    def __init__(self, recipe: MulanRecipe, data: TrainingData, reader: TextReader) -> None:
        self.knowledge = load_teacher(Path(recipe.distill.labels), data.entries)
        self.windows = LabelledWindows(self.knowledge)
        tags = spoken_tags(TEACHER_TAGS)
        self.queries = query_texts(data.entries, tags, recipe.captions)
        self.weights = tag_weights(reader.embed(self.queries), reader.embed(tags))

    def make_heads(self, embed_dim: int) -> DistillHeads:
        """Return heads that fit the teacher's tags and embeddings."""
        logits, embeddings = self.knowledge.logits, self.knowledge.embeddings
        return DistillHeads(embed_dim, logits.shape[1], embeddings.shape[1])

    def lesson(
        self, queries: NDArray[np.int64], rows: NDArray[np.int64], device: torch.device
    ) -> Lesson:
        """Return what it says of labelled windows, and how it reads queries (both by number)."""
        told = (self.weights[queries], self.knowledge.logits[rows], self.knowledge.embeddings[rows])
        return Lesson(*(torch.from_numpy(values).to(device) for values in told))


def contrast(loss: ContrastiveLoss, audio: Tensor, text: Tensor, same: Tensor) -> Tensor:
    """Contrast of pairs [B, E], leaving out as negatives the pairs whose text is the same [B]."""
    similarities = audio @ text.T * loss.log_temperature.exp()
    own = torch.eye(len(same), dtype=torch.bool, device=same.device)
    twins = (same[:, None] == same[None, :]) & ~own
    if loss.kind == "sigmoid":
        assert loss.bias is not None
        # So far from being a pair that it adds nothing to the loss.
        return sigmoid_contrast((similarities + loss.bias).masked_fill(twins, -1e4))
    return softmax_contrast(
        similarities.masked_fill(twins, float("-inf")), decoupled=loss.kind == "decoupled"
    )


def train_mulan(recipe: MulanRecipe, folder: Path, name: str, resume: bool) -> LoopResult:
    """Run the stage in `folder`, anew or from its last checkpoint."""
    data = open_training_data(recipe.data)
    run = Run.open(folder, STAGE, name, recipe, data.identity, resume)
    return fit(MulanTask(recipe, data), run, recipe.optimiser, recipe.loop, resume)


@dataclass(frozen=True)
class TrainedMulan:
    """A trained network on its real text encoder, in evaluation mode, and that encoder's parts."""

    network: MuQMuLan
    reader: TextReader
    recipe: MulanRecipe
    update: int


def load_trained_mulan(folder: Path, checkpoint: str = "last") -> TrainedMulan:
    """Return the network of a mulan run ("last" or "best" checkpoint), ready to export."""
    run = Run.open_existing(folder, STAGE)
    recipe = from_json(MulanRecipe, run.config["config"])
    network = MuQMuLan(recipe.network, text_encoder=nn.Identity())
    path = run.last_checkpoint if checkpoint == "last" else run.best_checkpoint
    counters = load_module(path, network, prefix="mulan.")
    reader = open_text_reader(Path(recipe.text_folder), recipe.text_reading)
    network.text.encoder = reader.backbone
    return TrainedMulan(network.eval(), reader, recipe, int(counters["update"]))


def _start_weights(recipe: MulanRecipe, network: MuQMuLan) -> None:
    if recipe.start_from:
        path = Run.open_existing(Path(recipe.start_from), STAGE).last_checkpoint
        load_module(path, network, prefix="mulan.")
    elif recipe.muq_run:
        muq = load_muq(Path(recipe.muq_run))
        if muq.config != recipe.network.muq:
            raise ValueError(f"{recipe.muq_run} holds a MuQ of another shape than the recipe's")
        network.audio.muq.load_state_dict(muq.state_dict())
