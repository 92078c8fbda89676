"""Stage mulan: bring music and texts into one space by contrast, and optionally by a teacher.

Legend: B clips (pairs) of all processes, M mel bins, F frames, K queries, E embedding width.

Source: the published contrastive training. Where we depart: a frozen sentence encoder reads every
text once, before training; pairs of the batch that share their text are not each other's
negatives; gradients across processes are the true ones; the temperature's logarithm stays below
ln 100.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.losses import (
    ContrastiveLoss,
    multi_positive_contrast,
    sigmoid_contrast,
    softmax_contrast,
)
from models.networks.config import MuQMuLanConfig, TermReaderConfig, config_from_dict
from models.networks.muq_mulan import MuQMuLan
from models.training import distributed
from models.training.augment import FRAME_RATE_HZ
from models.training.captions import CaptionWeights, TagMatches, WeightedTexts, texts_of
from models.training.checkpoint import has_part, load_module, read_extras
from models.training.data import (
    CropBatches,
    DataConfig,
    TrainingData,
    batch_part,
    held_out_entries,
    middle_crops,
    open_training_data,
)
from models.training.distill import DistillConfig, DistillHeads, distill
from models.training.exact_labels import (
    ExactLabelConfig,
    ExactLabels,
    LabelScales,
    exact_label_loss,
)
from models.training.live_texts import PretrainedReader, open_pretrained_reader
from models.training.loop import Better, LoopConfig, LoopResult, StepResult, fit
from models.training.metrics import retrieval_ranks, retrieval_scores
from models.training.muq import load_muq
from models.training.plots import plot_matrix
from models.training.run import Run
from models.training.schedule import OptimiserConfig
from models.training.settings import from_json
from models.training.teaching import Teacher
from models.training.text_table import TextReader, TextReading, Texts, open_text_reader

STAGE = "mulan"
TERM_READER = "term_reader"
"""Under this name a checkpoint's header says the shape of the term reader that it holds."""
Positives = Literal["pair", "tags"]
_MOST_LOG_TEMPERATURE = math.log(100.0)
_VALIDATION_BATCH = 32
_VALIDATION_TRACKS = 160
_PLOTTED_TRACKS = 40


@dataclass(frozen=True)
class MulanRecipe:
    """Everything that a contrastive run depends on.

    `muq_run` starts the audio tower from a pre-trained MuQ; `start_from` starts everything from
    another mulan run, to train it on, with the heads and scales of its lessons. `text_folder` holds
    a sentence encoder as `models.text.convert_use` writes it (frozen, read as `text_reading` says);
    or, where `network.text` is its shape, a Hugging Face encoder, which is trained too unless
    `network.freeze_text_encoder`. With `positives` "tags" every text made of tags is right for
    every track that carries them, not for its own pair alone. `anchor_weight` draws the embedding
    of an augmented crop to the one that the run of `start_from` gives the crop as it is: what was
    learned is kept, and no longer depends on what the augmentations change. `exact_labels` asks for
    the names of what is known whole about rendered pieces.
    """

    network: MuQMuLanConfig
    data: DataConfig
    optimiser: OptimiserConfig
    loop: LoopConfig
    text_folder: str
    text_reading: TextReading = "pooled"
    captions: CaptionWeights = field(default_factory=CaptionWeights)
    contrast_weight: float = 1.0
    positives: Positives = "pair"
    distill: DistillConfig = field(default_factory=DistillConfig)
    exact_labels: ExactLabelConfig = field(default_factory=ExactLabelConfig)
    muq_run: str = ""
    start_from: str = ""
    anchor_weight: float = 0.0
    validation_crop_s: float = 10.0

    def __post_init__(self) -> None:
        if self.anchor_weight and not self.start_from:
            raise ValueError("an anchor is the network of start_from: name one")
        if self.network.text is None and not self.network.freeze_text_encoder:
            raise ValueError("a sentence encoder is read once, so it must be frozen")


class MulanModule(nn.Module):
    """All that is trained: both towers, the temperature, and what a teacher and labels need."""

    def __init__(
        self, mulan: MuQMuLan, heads: DistillHeads | None, scales: LabelScales | None
    ) -> None:
        super().__init__()
        self.mulan, self.heads, self.scales = mulan, heads, scales


@dataclass(frozen=True)
class MulanBatch:
    """This process's mels [b, M, F]; of the whole batch, text numbers and teacher rows [B].

    A number of -1 is none. `plain` [b, M, F] are the mels before augmentation, where an anchor
    hears them. `queries` [K] are asked of the teacher; `positives` [B, B] say which texts fit which
    clips, where not only pairs do. `tracks` [B] are the sampler's, `labels` [V] the numbers of the
    texts that name the exact labels.
    """

    mels: Tensor
    plain: Tensor | None
    texts: NDArray[np.int64]
    rows: NDArray[np.int64]
    queries: NDArray[np.int64]
    positives: NDArray[np.bool_] | None
    tracks: NDArray[np.int64]
    labels: NDArray[np.int64]


class MulanTask:
    """Contrast of clips and their captions, and agreement with a teacher where one is given."""

    best_metric = "mrr"
    better: Better = "higher"

    def __init__(self, recipe: MulanRecipe, data: TrainingData) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.data = recipe, data
        reader = open_reader(recipe)
        loop = recipe.loop
        self.batches = CropBatches(data, recipe.data, loop.seed, loop.micro_batches)
        entries = self.batches.sampler.entries
        self.texts = [texts_of(entry, recipe.captions) for entry in entries]
        self.teacher = _open_teacher(recipe, data)
        self.held_out, self.held_texts = self._held_out_pairs()
        asked = self.teacher.queries if self.teacher else []
        exact = recipe.exact_labels
        self.labels = ExactLabels(exact, entries) if exact.weight else None
        named = self.labels.texts if self.labels else []
        spoken = [text for choice in self.texts for text in choice.texts]
        self.table: Texts = reader.texts([*spoken, *asked, *named, *self.held_texts])
        self.numbers = [self._numbers(choice.texts) for choice in self.texts]
        self.query_numbers = self._numbers(asked)
        self.label_numbers = self._numbers(named)
        self.held_numbers = self._numbers(self.held_texts)
        self.matches = self._tag_matches() if recipe.positives == "tags" else None
        mulan = MuQMuLan(recipe.network, text_encoder=self.table.backbone())
        if recipe.network.freeze_text_encoder:
            mulan.text.encoder.requires_grad_(False)
        heads = self.teacher.make_heads(recipe.network.embed_dim) if self.teacher else None
        self.towers = MulanModule(mulan, heads, LabelScales() if self.labels else None)
        self.module: nn.Module = self.towers
        _start_weights(recipe, self.towers)
        # Not a part of the module: it is not trained, and a checkpoint need not hold it again.
        self.anchor = copy.deepcopy(mulan.audio).eval() if recipe.anchor_weight else None

    def batch(self, position: int) -> MulanBatch:
        """Clips at this position, a caption drawn for each, and queries for the teacher."""
        crops = self.batches.crops(position)
        seed = self.recipe.loop.seed
        rows = np.full(len(crops.tracks), -1, dtype=np.int64)
        queries = np.zeros(0, dtype=np.int64)
        if self.teacher:
            places = np.random.default_rng([seed, position, 4, 0])
            crops, rows = self.teacher.windows.place(self.batches.files(crops), crops, places)
            asked = np.random.default_rng([seed, position, 5])
            count = min(self.recipe.distill.queries, len(self.query_numbers))
            queries = asked.permutation(len(self.query_numbers))[:count]
        words = np.random.default_rng([seed, position, 6, 0])
        texts = np.array([self._draw_text(int(track), words) for track in crops.tracks])
        fits = self.matches.between(crops.tracks, texts) if self.matches else None
        plain = self.batches.read(crops)
        mels = self.batches.augmented(plain, crops, position)
        kept = plain if self.anchor is not None else None
        named = self._draw_labels(np.random.default_rng([seed, position, 7]))
        return MulanBatch(mels, kept, texts, rows, queries, fits, crops.tracks, named)

    def loss(self, batch: MulanBatch) -> StepResult:
        """Weighted sum of the contrast and of what the teacher teaches."""
        audio = self.towers.mulan.audio(batch.mels.to(self._device)).float()
        wanted = self._anchored(batch)
        seconds = batch.mels.shape[0] * batch.mels.shape[2] / FRAME_RATE_HZ
        # Similarities keep float32: in bfloat16 neighbours in rank would share a value.
        with torch.autocast(self._device.type, enabled=False):
            metrics: dict[str, float | Tensor] = {}
            total = self._compare(distributed.gather_rows(audio), batch, metrics)
            if wanted is not None:
                cosines = distributed.gather_rows((audio * wanted).sum(dim=1, keepdim=True))
                drift = 1.0 - cosines.mean()
                total = total + self.recipe.anchor_weight * drift
                metrics["drift"] = drift.detach()
        return StepResult(total, seconds, metrics)

    def _compare(
        self, audio: Tensor, batch: MulanBatch, metrics: dict[str, float | Tensor]
    ) -> Tensor:
        """Compare the clips of all processes [B, E]; every process computes the same."""
        total = torch.zeros((), device=audio.device)
        paired = np.flatnonzero(batch.texts >= 0)
        if self.recipe.contrast_weight and len(paired) > 1:
            contrast = self._contrast(audio, batch, paired)
            total = total + self.recipe.contrast_weight * contrast
            metrics["contrast"] = contrast.detach()
            metrics["temperature"] = self.towers.mulan.contrastive.log_temperature.detach().exp()
        if self.teacher and len(batch.queries):
            total = total + self._learn_from_teacher(audio, batch, metrics)
        if self.labels:
            told = self._learn_labels(audio, batch)
            total = total + self.recipe.exact_labels.weight * told
            metrics["labels"] = told.detach()
        return total

    def _anchored(self, batch: MulanBatch) -> Tensor | None:
        """The anchor's embeddings [b, E] of this process's crops as they are."""
        if self.anchor is None or batch.plain is None:
            return None
        with torch.no_grad():
            embedded: Tensor = self.anchor.to(self._device)(batch.plain.to(self._device)).float()
        return embedded

    def after_update(self, update: int) -> None:
        """Keep the temperature where a bfloat16 softmax still has a gradient."""
        with torch.no_grad():
            self.towers.mulan.contrastive.log_temperature.clamp_(max=_MOST_LOG_TEMPERATURE)

    def validate(self) -> Mapping[str, float]:
        """Retrieval among held-out tracks by their own captions, both ways."""
        if len(self.held_out) < 2:
            return {}
        similarity = self._held_out_similarity()
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

    def draw_plots(self, folder: Path) -> None:
        """Draw the similarities of held-out captions and clips; pairs are the diagonal."""
        if len(self.held_out) < 2:
            return
        first = min(len(self.held_out), _PLOTTED_TRACKS)
        similarity = self._held_out_similarity()[:first, :first]
        rows = [text[:40] for text in self.held_texts[:first]]
        columns = [str(number + 1) for number in range(first)]
        title = "Held-out captions and clips"
        plot_matrix(similarity, rows, columns, title, folder / "similarity.png")

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

    def _numbers(self, texts: list[str] | tuple[str, ...]) -> NDArray[np.int64]:
        return np.array([self.table.index(text) for text in texts], dtype=np.int64)

    def _tag_matches(self) -> TagMatches:
        tracks = [
            frozenset(value for values in entry.tags.values() for value in values)
            for entry in self.batches.sampler.entries
        ]
        stated: dict[int, frozenset[str]] = {}
        for numbers, choice in zip(self.numbers, self.texts, strict=True):
            stated.update(zip(numbers.tolist(), choice.stated, strict=True))
        count = 1 + max(stated, default=-1)
        return TagMatches(tracks, [stated.get(number, frozenset()) for number in range(count)])

    def _draw_text(self, track: int, rng: np.random.Generator) -> int:
        point = rng.random()
        choice: WeightedTexts = self.texts[track]
        if not choice.texts:
            return -1
        place = int(np.searchsorted(np.cumsum(choice.chances), point))
        return int(self.numbers[track][min(place, len(choice.texts) - 1)])

    def _contrast(self, audio: Tensor, batch: MulanBatch, paired: NDArray[np.int64]) -> Tensor:
        mine = batch_part(len(batch.texts)).rows
        # A clip without a text has some other one embedded, which is then left out.
        spoken = self.embed_texts(np.maximum(batch.texts[mine], 0)).float()
        everything = distributed.gather_rows(spoken)
        same = torch.from_numpy(batch.texts[paired]).to(audio.device)
        fits = None
        if batch.positives is not None:
            fits = torch.from_numpy(batch.positives[np.ix_(paired, paired)]).to(audio.device)
        loss = self.towers.mulan.contrastive
        return contrast(loss, audio[paired], everything[paired], same, fits)

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

    def _draw_labels(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Numbers [V] of texts that name the exact labels; none where they are not asked."""
        if not self.labels:
            return np.zeros(0, dtype=np.int64)
        return self.label_numbers[self.labels.wordings(rng)]

    def _learn_labels(self, audio: Tensor, batch: MulanBatch) -> Tensor:
        assert self.labels is not None
        assert self.towers.scales is not None
        whole = np.flatnonzero(self.labels.known[batch.tracks])
        if len(whole) < 2:
            return torch.zeros((), device=audio.device)
        names = self.embed_texts(batch.labels).float()
        carried = torch.from_numpy(self.labels.of(batch.tracks[whole])).to(audio.device)
        groups = torch.from_numpy(self.labels.groups).to(audio.device)
        return exact_label_loss(self.towers.scales, audio[whole] @ names.T, carried, groups)

    def _held_out_pairs(self) -> tuple[Tensor, list[str]]:
        """Mels [N, M, F] of validation tracks that have a caption, and one caption of each."""
        held = held_out_entries(self.data, limit=_VALIDATION_TRACKS)
        spoken = [entry for entry in held if entry.captions]
        frames = round(self.recipe.validation_crop_s * FRAME_RATE_HZ)
        mels = middle_crops(self.data, spoken, frames)
        return mels, [entry.captions[0].text for entry in spoken]

    def _held_out_similarity(self) -> NDArray[np.float32]:
        """Similarities [N, N] of held-out captions and clips."""
        parts = torch.split(self.held_out, _VALIDATION_BATCH)
        clips = torch.cat([self.towers.mulan.audio(p.to(self._device)).float() for p in parts])
        with torch.autocast(self._device.type, enabled=False):
            spoken = self.embed_texts(self.held_numbers)
            similarity: NDArray[np.float32] = (spoken @ clips.T).cpu().numpy()
        return similarity


def contrast(
    loss: ContrastiveLoss,
    audio: Tensor,
    text: Tensor,
    same: Tensor,
    positives: Tensor | None = None,
) -> Tensor:
    """Contrast of pairs [B, E]; those whose text is the same [B] are no negatives of each other.

    `positives` [B, B] says which texts fit which clips, where not only pairs do.
    """
    similarities = audio @ text.T * loss.log_temperature.exp()
    if loss.bias is not None:
        similarities = similarities + loss.bias
    decoupled = loss.kind == "decoupled"
    if positives is not None:
        if loss.kind == "sigmoid":
            return sigmoid_contrast(similarities, positives)
        return multi_positive_contrast(similarities, positives, decoupled)
    own = torch.eye(len(same), dtype=torch.bool, device=same.device)
    twins = (same[:, None] == same[None, :]) & ~own
    if loss.kind == "sigmoid":
        # So far from being a pair that it adds nothing to the loss.
        return sigmoid_contrast(similarities.masked_fill(twins, -1e4))
    return softmax_contrast(similarities.masked_fill(twins, float("-inf")), decoupled)


def train_mulan(recipe: MulanRecipe, folder: Path, name: str, resume: bool) -> LoopResult:
    """Run the stage in `folder`, anew or from its last checkpoint."""
    data = open_training_data(recipe.data)
    run = Run.open(folder, STAGE, name, recipe, data.identity, resume)
    return fit(MulanTask(recipe, data), run, recipe.optimiser, recipe.loop, resume)


@dataclass(frozen=True)
class TrainedMulan:
    """A trained network on its real text encoder, in evaluation mode, and that encoder's parts."""

    network: MuQMuLan
    reader: TextReader | PretrainedReader
    recipe: MulanRecipe
    update: int


def load_trained_mulan(folder: Path, checkpoint: str = "last") -> TrainedMulan:
    """Return the network of a mulan run (its checkpoint of that name), ready to export.

    RunError where the run has no such checkpoint.
    """
    run = Run.open_existing(folder, STAGE)
    path = run.find_checkpoint(checkpoint)
    recipe = from_json(MulanRecipe, run.config["config"])
    reader = open_reader(recipe)
    # A term reader is fitted after training, so the run's own configuration has none.
    config = dataclasses.replace(recipe.network, term_reader=read_term_reader(path))
    # A sentence encoder is not in the checkpoint; a Hugging Face one is.
    outside = recipe.network.text is None
    network = MuQMuLan(config, text_encoder=nn.Identity() if outside else reader.backbone)
    counters = load_module(path, network, prefix="mulan.")
    if outside:
        network.text.encoder = reader.backbone
    return TrainedMulan(network.eval(), reader, recipe, int(counters["update"]))


def read_term_reader(checkpoint: Path) -> TermReaderConfig | None:
    """Read the shape of the term reader that a checkpoint has; None for one without."""
    shape = read_extras(checkpoint).get(TERM_READER)
    return config_from_dict(TermReaderConfig, shape) if shape else None


def open_reader(recipe: MulanRecipe) -> TextReader | PretrainedReader:
    """Open a recipe's text encoder; ValueError where its shape is not the one in the recipe."""
    folder = Path(recipe.text_folder)
    if recipe.network.text is None:
        return open_text_reader(folder, recipe.text_reading)
    reader = open_pretrained_reader(folder)
    if reader.encoder.config != recipe.network.text:
        raise ValueError(
            f"{folder} holds an encoder of another shape than network.text: "
            f"{reader.encoder.config} is not {recipe.network.text}"
        )
    return reader


def _open_teacher(recipe: MulanRecipe, data: TrainingData) -> Teacher | None:
    if not recipe.distill.labels:
        return None
    folder = Path(recipe.distill.text_folder or recipe.text_folder)
    return Teacher(recipe.distill, data.entries, recipe.captions, folder)


def _start_weights(recipe: MulanRecipe, towers: MulanModule) -> None:
    """Fill in what a run starts from: all that an earlier run learned, or a pre-trained MuQ."""
    if recipe.start_from:
        path = Run.open_existing(Path(recipe.start_from), STAGE).last_checkpoint
        load_module(path, towers.mulan, prefix="mulan.")
        _start_lessons(path, towers)
    elif recipe.muq_run:
        muq = load_muq(Path(recipe.muq_run))
        if muq.config != recipe.network.muq:
            raise ValueError(f"{recipe.muq_run} holds a MuQ of another shape than the recipe's")
        towers.mulan.audio.muq.load_state_dict(muq.state_dict())


def _start_lessons(path: Path, towers: MulanModule) -> None:
    """Go on with the heads and scales of the lessons that the earlier run had too.

    A fresh scale asks for similarities of another spread than the one that was learned, and would
    bend the whole space to get it.
    """
    for name, lesson in (("heads", towers.heads), ("scales", towers.scales)):
        if lesson is not None and has_part(path, f"{name}."):
            load_module(path, lesson, prefix=f"{name}.")
