"""The figures of a cell: a probe on its MuQ; zero-shot tags and retrieval where it reads text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.networks.muq import MuQ
from models.training.ablation.plan import Step
from models.training.ablation.probe import probe_scores, track_features
from models.training.evaluate import (
    TrainedEmbedder,
    evaluate_set,
    headline_figures,
    list_labels,
    relevance,
)
from models.training.manifest import ManifestEntry, read_manifest
from models.training.mel_cache import MelCache
from models.training.metrics import Interval, bootstrap, macro, roc_auc
from models.training.mulan import load_trained_mulan
from models.training.muq import load_muq

KINDS = ("genre", "instrument")


@dataclass(frozen=True)
class Judge:
    """Labelled tracks that no run learned from."""

    name: str
    entries: tuple[ManifestEntry, ...]
    cache: MelCache


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
    for kind in KINDS:
        labelled = [entry for entry in judge.entries if entry.tags.get(kind)]
        labels = list_labels(labelled, kind)
        groups = [entry.group for entry in labelled]
        if len(labels) < 2 or len(set(groups)) < 3:
            continue
        truth = relevance(labelled, kind, labels)
        scores = probe_scores(track_features(muq, judge.cache, labelled), truth, groups)
        interval = bootstrap(
            lambda items, s=scores, t=truth: macro(roc_auc, s[items], t[items]),  # type: ignore[misc]
            groups, 0.5,
        )  # fmt: skip
        figures.append(_figure(cell, seed, f"probe {judge.name} {kind} ROC-AUC", interval))
    return figures


def _figure(cell: str, seed: int, measure: str, interval: Interval) -> Figure:
    return Figure(cell, seed, measure, interval.value, interval.low, interval.high, interval.chance)
