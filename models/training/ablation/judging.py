"""The figures of a cell: a probe on its MuQ; zero-shot tags and retrieval where it reads text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.networks.muq import MuQ
from models.training.ablation.plan import Step
from models.training.ablation.probe import probe, track_features
from models.training.evaluate import (
    TrainedEmbedder,
    evaluate_set,
    headline_figures,
    list_labels,
    relevance,
)
from models.training.manifest import ManifestEntry, read_manifest
from models.training.mel_cache import MelCache
from models.training.metrics import Bools, Interval, bootstrap
from models.training.mulan import load_trained_mulan
from models.training.muq import load_muq

KINDS = ("genre", "instrument", "tempo", "mode")
_LEAST_GROUPS = 3


@dataclass(frozen=True)
class Judge:
    """Labelled tracks that no run learned from."""

    name: str
    entries: tuple[ManifestEntry, ...]
    cache: MelCache

    def has_measured(self, measure: str) -> bool:
        """Whether a figure is one of this judge's, by its name."""
        return f" {self.name} " in measure


@dataclass(frozen=True)
class Figure:
    """One figure of one run."""

    cell: str
    seed: int
    measure: str
    value: float
    low: float
    high: float
    chance: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def open_judge(manifest: Path, cache: Path) -> Judge:
    """Open a labelled manifest; tracks that the cache lacks are an error, not left out."""
    entries, mels = read_manifest(manifest), MelCache(cache)
    missing = [entry.id for entry in entries if entry.sha256 not in mels]
    if missing:
        raise ValueError(f"{cache} lacks {len(missing)} tracks of {manifest.name}: {missing[:3]}")
    return Judge(manifest.stem, tuple(entries), mels)


def judge_step(cell: str, seed: int, step: Step, judges: Sequence[Judge]) -> list[Figure]:
    """Judge a finished run."""
    figures: list[Figure] = []
    if step.stage == "mulan":
        trained = load_trained_mulan(step.folder)
        evaluations = [
            evaluate_set(TrainedEmbedder(trained), judge.cache, judge.entries, judge.name)
            for judge in judges
        ]
        for name, interval in headline_figures(evaluations):
            figures.append(_figure(cell, seed, f"zero-shot {name}", interval))
        muq = trained.network.audio.muq
    else:
        muq = load_muq(step.folder)
    return figures + [f for judge in judges for f in _probe(cell, seed, muq, judge)]


def _probe(cell: str, seed: int, muq: MuQ, judge: Judge) -> list[Figure]:
    figures = []
    features = track_features(muq, judge.cache, judge.entries)
    for kind in KINDS:
        rows = [row for row, entry in enumerate(judge.entries) if entry.tags.get(kind)]
        if not rows:
            continue
        labelled = [judge.entries[row] for row in rows]
        groups = [entry.group for entry in labelled]
        truth = _spread_labels(relevance(labelled, kind, list_labels(labelled, kind)), groups)
        if truth.shape[1] < 2:
            continue
        compared = probe(features[rows], truth, groups)
        interval = bootstrap(compared.roc_auc, groups, 0.5)
        name = f"probe {judge.name} {kind} ({truth.shape[1]} labels) ROC-AUC"
        figures.append(_figure(cell, seed, name, interval))
    return figures


def _spread_labels(truth: Bools, groups: Sequence[str]) -> Bools:
    """The labels [N, c] that enough groups carry for some to be learned from and some asked."""
    names = np.array(groups)
    kept = [
        column
        for column in range(truth.shape[1])
        if len(set(names[truth[:, column]])) >= _LEAST_GROUPS
    ]
    return truth[:, kept]


def _figure(cell: str, seed: int, measure: str, interval: Interval) -> Figure:
    return Figure(cell, seed, measure, interval.value, interval.low, interval.high, interval.chance)
