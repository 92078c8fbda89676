"""Train a head on frozen features and judge it on the test split.

A softmax over layers mixes the transformer's layers (not the convolutions' output); a hidden layer
of 512 with ReLU and dropout 0.2, and a linear one follow. Adam, halved when validation does not
get better, early stopping, batches of 64 chunks; a track's answer is the mean over its chunks.
Legend: N tracks, C chunks, L layers, D width, O outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training.evaluation.probing.features import Features
from models.training.evaluation.probing.tasks import ProbeTask, Targets, refined_weights
from models.training.metrics import Interval, average_precision, bootstrap, macro, roc_auc

HIDDEN, DROPOUT, BATCH = 512, 0.2, 64
SEED = 1234
DRAWS = 300
Answers = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One split: the features of its tracks, and their targets in the same order."""

    features: Features
    targets: Targets


@dataclass(frozen=True)
class ProbeResult:
    """Test figures with intervals over tracks, and how the head came about.

    `layer_weights` are those of the transformer's layers, from the first to the last.
    """

    task: str
    figures: dict[str, Interval]
    tracks: dict[str, int]
    outputs: int
    epochs: int
    best_epoch: int
    validation: tuple[float, ...]
    layer_weights: tuple[float, ...]
    seed: int
    learning_rate: float


class LayerMixHead(nn.Module):
    """Features [C, L, D] to outputs [C, O]."""

    def __init__(self, layers: int, width: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(layers - 1))
        self.hidden = nn.Linear(width, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(HIDDEN, outputs)

    def forward(self, means: Tensor) -> Tensor:
        """The mean over layers, weighted by a softmax, then the head."""
        mixed = torch.einsum("l,cld->cd", self.mix.softmax(dim=0), means[:, 1:])
        outputs: Tensor = self.out(self.dropout(functional.relu(self.hidden(mixed))))
        return outputs


def train_probe(
    task: ProbeTask, parts: Mapping[str, Part], seed: int = SEED, learning_rate: float | None = None
) -> ProbeResult:
    """Train on "train", choose the epoch on "valid", judge on "test"."""
    torch.manual_seed(seed)
    rate = learning_rate or task.learning_rate
    train, valid = parts["train"], parts["valid"]
    outputs = len(train.targets.names)
    _, layers, width = train.features.means.shape
    head = LayerMixHead(layers, width, outputs)
    optimiser = torch.optim.Adam(head.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=0.5, patience=task.patience
    )
    order = np.random.default_rng(seed)
    best, best_epoch, weights = -np.inf, 0, copy.deepcopy(head.state_dict())
    history: list[float] = []
    for epoch in range(1, task.epochs + 1):
        _train_epoch(task, head, optimiser, train, order)
        figure = _headline(task, answers_of(head, valid.features), valid.targets)
        history.append(figure)
        schedule.step(figure)
        if figure > best:
            best, best_epoch, weights = figure, epoch, copy.deepcopy(head.state_dict())
        if epoch - best_epoch >= task.stop_after:
            break
    head.load_state_dict(weights)
    return ProbeResult(
        task=task.name,
        figures=judge(task, answers_of(head, parts["test"].features), parts["test"].targets),
        tracks={name: len(part.targets.values) for name, part in parts.items()},
        outputs=outputs,
        epochs=len(history),
        best_epoch=best_epoch,
        validation=tuple(history),
        layer_weights=tuple(float(w) for w in head.mix.detach().softmax(dim=0)),
        seed=seed,
        learning_rate=rate,
    )


@torch.inference_mode()
def answers_of(head: LayerMixHead, features: Features) -> Answers:
    """Outputs [N, O]: each track's mean over its chunks."""
    head.eval()
    outputs = head(torch.from_numpy(features.means)).numpy().astype(np.float64)
    tracks = int(features.tracks.max()) + 1
    total = np.zeros((tracks, outputs.shape[1]))
    np.add.at(total, features.tracks, outputs)
    mean: Answers = total / np.bincount(features.tracks, minlength=tracks)[:, None]
    return mean


def judge(task: ProbeTask, answers: Answers, targets: Targets) -> dict[str, Interval]:
    """Every metric of a task with its interval over tracks, and chance."""
    tracks = [str(i) for i in range(len(answers))]
    figures = {}
    for metric in task.metrics:
        if metric == "r2":
            for column, name in enumerate(targets.names):
                score = partial(r2, answers[:, column], targets.values[:, column])
                figures[f"r2_{name}"] = bootstrap(_on_items(score), tracks, 0.0, DRAWS)
            continue
        figures[metric] = bootstrap(
            _on_items(partial(METRICS[metric], answers, targets.values)),
            tracks,
            _chance(metric, targets),
            DRAWS,
        )
    return figures


def accuracy(answers: Answers, right: NDArray[np.float32], items: NDArray[np.int64]) -> float:
    """The share of tracks whose largest output is the right class."""
    return float((answers[items].argmax(axis=1) == right[items]).mean())


def refined_accuracy(
    answers: Answers, right: NDArray[np.float32], items: NDArray[np.int64]
) -> float:
    """The mean worth of the keys named, with credit for near ones."""
    named = answers[items].argmax(axis=1)
    return float(refined_weights()[right[items].astype(int), named].mean())


def r2(answers: Answers, right: NDArray[np.float32], items: NDArray[np.int64]) -> float:
    """One minus the squared error over that of always saying the mean; NaN without variance."""
    said, true = answers[items], right[items]
    spread = float(((true - true.mean()) ** 2).sum())
    return float(1 - ((said - true) ** 2).sum() / spread) if spread > 0 else float("nan")


def _macro_roc_auc(answers: Answers, right: NDArray[np.float32], items: NDArray[np.int64]) -> float:
    return macro(roc_auc, answers[items], right[items] > 0.5)


def _macro_pr_auc(answers: Answers, right: NDArray[np.float32], items: NDArray[np.int64]) -> float:
    return macro(average_precision, answers[items], right[items] > 0.5)


METRICS: dict[str, Callable[[Answers, NDArray[np.float32], NDArray[np.int64]], float]] = {
    "accuracy": accuracy,
    "refined_accuracy": refined_accuracy,
    "roc_auc": _macro_roc_auc,
    "pr_auc": _macro_pr_auc,
}


def _train_epoch(
    task: ProbeTask,
    head: LayerMixHead,
    optimiser: torch.optim.Optimizer,
    part: Part,
    order: np.random.Generator,
) -> None:
    head.train()
    chunks = order.permutation(len(part.features.means))
    for start in range(0, len(chunks), BATCH):
        rows = chunks[start : start + BATCH]
        outputs = head(torch.from_numpy(part.features.means[rows]))
        wanted = torch.from_numpy(part.targets.values[part.features.tracks[rows]])
        optimiser.zero_grad()
        _loss(task, outputs, wanted).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _loss(task: ProbeTask, outputs: Tensor, wanted: Tensor) -> Tensor:
    if task.target == "class":
        return functional.cross_entropy(outputs, wanted.long())
    if task.target == "labels":
        return functional.binary_cross_entropy_with_logits(outputs, wanted)
    return functional.mse_loss(outputs, wanted)


def _headline(task: ProbeTask, answers: Answers, targets: Targets) -> float:
    """The figure that validation goes by: the first metric, for numbers the mean over them."""
    everything = np.arange(len(answers))
    if task.target == "values":
        columns: Sequence[float] = [
            r2(answers[:, c], targets.values[:, c], everything) for c in range(answers.shape[1])
        ]
        return float(np.mean(columns))
    return METRICS[task.metrics[0]](answers, targets.values, everything)


def _on_items(
    score: Callable[[NDArray[np.int64]], float],
) -> Callable[[NDArray[np.int64]], float]:
    def statistic(items: NDArray[np.int64]) -> float:
        return score(items)

    return statistic


def _chance(metric: str, targets: Targets) -> float:
    """What guessing without listening earns: every class alike, or any order of the tracks."""
    if metric == "roc_auc":
        return 0.5
    if metric == "pr_auc":
        return float(targets.values.mean())
    if metric == "refined_accuracy":
        return float(refined_weights().mean(axis=1).mean())
    return 1.0 / len(targets.names)
