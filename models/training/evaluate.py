"""Evaluate a trained model on held-out tracks: zero-shot tags, and retrieval both ways.

Legend: N tracks, C labels, Q queries, M mel bins, F frames, E embedding width.

A track's vector is the mean of its ten-second windows' unit vectors, as in serving; a label's is
the mean over prompts, renormalised. Intervals are bootstraps over tracks; chance stands beside
every figure. Ranks are against the full matrix, without sampling of negatives.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.audio.samples import plan_windows
from models.training.augment import FRAME_RATE_HZ, shift_level
from models.training.manifest import ManifestEntry
from models.training.mel_cache import MelCache
from models.training.metrics import (
    Bools,
    Floats,
    Interval,
    average_precision,
    bootstrap,
    chance_of_recall,
    macro,
    r_precision,
    retrieval_ranks,
    roc_auc,
)
from models.training.mulan import TrainedMulan
from models.training.plots import plot_intervals, plot_matrix

PROMPTS = ("{label}", "{label} music")
WINDOW_S = 10
_MOST_WINDOWS = 12
_BATCH = 16
_LEAST_TRACKS = 2
_MOST_LEVEL_TRACKS = 50
Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """What is evaluated: texts and normalised log-mel windows [N, M, F] to unit vectors [N, E]."""

    def embed_text(self, texts: Sequence[str]) -> Vectors: ...

    def embed_mels(self, mels: NDArray[np.float32]) -> Vectors: ...


class TrainedEmbedder:
    """A trained network as an embedder."""

    def __init__(self, trained: TrainedMulan) -> None:
        self._trained = trained

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [N, E]."""
        tokens = self._trained.reader.tokenizer.encode(list(texts))
        ids, mask = torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask)
        vectors: Vectors = self._trained.network.text_embedding(ids, mask).numpy()
        return vectors

    @torch.no_grad()
    def embed_mels(self, mels: NDArray[np.float32]) -> Vectors:
        """Unit vectors [N, E] of windows [N, M, F]."""
        vectors: Vectors = self._trained.network.audio(torch.from_numpy(mels)).numpy()
        return vectors


@dataclass(frozen=True)
class LabelScore:
    """One label of a zero-shot test."""

    label: str
    tracks: int
    roc_auc: float
    average_precision: float


@dataclass(frozen=True)
class TagReport:
    """Zero-shot tags of one kind: macro figures, and a line for each label."""

    kind: str
    tracks: int
    roc_auc: Interval
    average_precision: Interval
    r_precision: Interval
    labels: tuple[LabelScore, ...]


@dataclass(frozen=True)
class RetrievalReport:
    """Queries against tracks in one direction."""

    queries: int
    tracks: int
    recall_1: Interval
    recall_5: Interval
    recall_10: Interval
    mrr: Interval
    median_rank: float
    median_rank_chance: float


def embed_tracks(model: Embedder, cache: MelCache, entries: Sequence[ManifestEntry]) -> Vectors:
    """Embed each track [N, E]: the mean over at most 12 windows, spread over the track."""
    return np.stack([_embed_track(model, cache, entry.sha256) for entry in entries])


def _embed_track(model: Embedder, cache: MelCache, sha256: str) -> Vectors:
    frames = cache.read(sha256, 0, cache.frames(sha256)).T
    # Windows in frames instead of samples: the same rule, a hundred to the second.
    windows = plan_windows(frames.shape[1], WINDOW_S * FRAME_RATE_HZ)
    chosen = sorted({round(i) for i in np.linspace(0, len(windows) - 1, _MOST_WINDOWS)})
    vectors = []
    for window in (windows[i] for i in chosen):
        cut = (frames[:, window.start : window.stop], frames[:, : window.wrapped])
        vectors.append(np.concatenate(cut, axis=1))
    embedded = [
        model.embed_mels(np.stack(vectors[i : i + _BATCH])) for i in range(0, len(vectors), _BATCH)
    ]
    mean: Vectors = np.concatenate(embedded).mean(axis=0)
    return mean


def embed_labels(
    model: Embedder, labels: Sequence[str], prompts: Sequence[str] = PROMPTS
) -> Vectors:
    """Embed labels [C, E] as the renormalised mean over prompts that hold `{label}`."""
    means = np.stack(
        [
            model.embed_text([p.format(label=label) for p in prompts]).mean(axis=0)
            for label in labels
        ]
    )
    vectors: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    return vectors


def list_labels(entries: Sequence[ManifestEntry], kind: str) -> list[str]:
    """List the values of one kind of tag that at least two tracks carry, and not all do.

    A label of one track would count as much in a mean over labels as one of twenty, and would be
    undefined in a third of the bootstrap's draws.
    """
    counts = Counter(value for entry in entries for value in set(entry.tags.get(kind, ())))
    return sorted(v for v, count in counts.items() if _LEAST_TRACKS <= count < len(entries))


def relevance(entries: Sequence[ManifestEntry], kind: str, labels: Sequence[str]) -> Bools:
    """Say which tracks carry which labels [N, C]."""
    return np.array([[label in e.tags.get(kind, ()) for label in labels] for e in entries])


def score_tags(
    scores: Floats, relevant: Bools, kind: str, labels: Sequence[str], draws: int = 1000
) -> TagReport:
    """Judge scores [N, C] of labels against what the tracks carry [N, C]."""
    tracks = [str(i) for i in range(len(scores))]
    prevalence = float(relevant.mean(axis=0).mean())

    def interval(metric: Any, chance: float) -> Interval:
        def statistic(items: NDArray[np.int64]) -> float:
            return macro(metric, scores[items], relevant[items])

        return bootstrap(statistic, tracks, chance, draws)

    lines = tuple(
        LabelScore(
            label,
            int(relevant[:, i].sum()),
            roc_auc(scores[:, i], relevant[:, i]),
            average_precision(scores[:, i], relevant[:, i]),
        )
        for i, label in enumerate(labels)
    )
    return TagReport(
        kind=kind,
        tracks=len(scores),
        roc_auc=interval(roc_auc, 0.5),
        average_precision=interval(average_precision, prevalence),
        r_precision=interval(r_precision, prevalence),
        labels=lines,
    )


def score_retrieval(similarity: Floats, relevant: Bools, draws: int = 1000) -> RetrievalReport:
    """Judge similarities [Q, N] against which tracks are right for which query [Q, N]."""
    ranks = retrieval_ranks(similarity, relevant)
    queries, tracks = similarity.shape
    names = [str(i) for i in range(queries)]

    def recall(k: int) -> Interval:
        chance = chance_of_recall(relevant, k)
        return bootstrap(lambda items: float((ranks[items] <= k).mean()), names, chance, draws)

    by_chance = np.random.default_rng(0).random((200, queries, tracks))
    chance_ranks = np.stack([retrieval_ranks(draw, relevant) for draw in by_chance])
    return RetrievalReport(
        queries=queries,
        tracks=tracks,
        recall_1=recall(1),
        recall_5=recall(5),
        recall_10=recall(10),
        mrr=bootstrap(
            lambda items: float((1.0 / ranks[items]).mean()),
            names,
            float((1.0 / chance_ranks).mean()),
            draws,
        ),
        median_rank=float(np.median(ranks)),
        median_rank_chance=float(np.median(chance_ranks)),
    )


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one set of tracks.

    `level_cosine` is the mean likeness of a clip's vector to that of the same clip 20 dB quieter.
    """

    name: str
    level_cosine: float
    tags: tuple[TagReport, ...]
    text_to_audio: RetrievalReport | None
    audio_to_text: RetrievalReport | None


def evaluate_set(
    model: Embedder,
    cache: MelCache,
    entries: Sequence[ManifestEntry],
    name: str,
    kinds: Sequence[str] = ("genre", "instrument", "context"),
    plots: Path | None = None,
) -> Evaluation:
    """Evaluate on one set of tracks: every kind of tag with two labels or more, and captions.

    Captions are compared only where each track has one and most differ: the first of each, equal
    texts being equally right.
    """
    tracks = embed_tracks(model, cache, entries)
    reports = []
    for kind in kinds:
        labels = list_labels(entries, kind)
        if len(labels) < 2:
            continue
        scores = tracks @ embed_labels(model, labels).T
        reports.append(score_tags(scores, relevance(entries, kind, labels), kind, labels))
        if plots is not None:
            rows = [entry.id[-32:] for entry in entries[:80]]
            title = f"{name}: similarity of tracks and {kind}"
            plot_matrix(scores[:80], rows, labels, title, plots / f"{name}-{kind}-matrix.png")
    forward = backward = None
    texts = [entry.captions[0].text for entry in entries if entry.captions]
    if len(texts) == len(entries) > 1 and len(set(texts)) > len(texts) / 2:
        similarity = np.concatenate([model.embed_text([text]) for text in texts]) @ tracks.T
        relevant = np.array([[one == other for other in texts] for one in texts])
        forward = score_retrieval(similarity, relevant)
        backward = score_retrieval(similarity.T, relevant.T)
    return Evaluation(name, level_cosine(model, cache, entries), tuple(reports), forward, backward)


def level_cosine(
    model: Embedder, cache: MelCache, entries: Sequence[ManifestEntry], gain_db: float = -20.0
) -> float:
    """Return the mean cosine between clips and themselves at another level, one clip a track."""
    cosines = []
    for entry in entries[:_MOST_LEVEL_TRACKS]:
        start = max(cache.frames(entry.sha256) - WINDOW_S * FRAME_RATE_HZ, 0) // 2
        mel = cache.read(entry.sha256, start, WINDOW_S * FRAME_RATE_HZ).T[None]
        shifted = shift_level(torch.from_numpy(mel), gain_db).numpy()
        one, other = model.embed_mels(np.concatenate([mel, shifted]))
        cosines.append(float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other))))
    return float(np.mean(cosines))


def write_report(evaluations: Sequence[Evaluation], folder: Path) -> Path:
    """Write report.json, report.md and a PNG of the headline figures; return the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    listed = [asdict(evaluation) for evaluation in evaluations]
    path.write_text(json.dumps(listed, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / "report.md").write_text(markdown_table(evaluations), "utf-8")
    figures = headline_figures(evaluations)
    if figures:
        plot_intervals(
            [name for name, _ in figures],
            [(interval.value, interval.low, interval.high) for _, interval in figures],
            [interval.chance for _, interval in figures],
            "Held-out figures",
            folder / "report.png",
        )
    return path


def markdown_table(evaluations: Sequence[Evaluation]) -> str:
    """Lay out the headline figures as a Markdown table, with intervals and chance."""
    lines = ["| set, measure | value | 95 % interval | chance |", "| --- | --- | --- | --- |"]
    for name, i in headline_figures(evaluations):
        lines.append(f"| {name} | {i.value:.3f} | {i.low:.3f} to {i.high:.3f} | {i.chance:.3f} |")
    for evaluation in evaluations:
        cosine = f"{evaluation.level_cosine:.3f}"
        lines.append(f"| {evaluation.name} cosine to itself 20 dB quieter | {cosine} | | |")
    return "\n".join(lines) + "\n"


def headline_figures(evaluations: Sequence[Evaluation]) -> list[tuple[str, Interval]]:
    """List the figures that a summary shows, by name."""
    figures = []
    for evaluation in evaluations:
        for report in evaluation.tags:
            figures.append((f"{evaluation.name} {report.kind} ROC-AUC", report.roc_auc))
            figures.append((f"{evaluation.name} {report.kind} R-precision", report.r_precision))
        if evaluation.text_to_audio is not None:
            figures.append(
                (f"{evaluation.name} text→audio R@10", evaluation.text_to_audio.recall_10)
            )
            figures.append((f"{evaluation.name} text→audio MRR", evaluation.text_to_audio.mrr))
        if evaluation.audio_to_text is not None:
            figures.append(
                (f"{evaluation.name} audio→text R@10", evaluation.audio_to_text.recall_10)
            )
    return figures
