"""Figures of a bundle's evaluation as PNG, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.training.evaluation.bundled import BundleReport
from models.training.evaluation.judging import TagTable
from models.training.evaluation.reliability import Reliability
from models.training.plots import plot_intervals, plot_matrix, save_figure

_SHOWN = {"roc_auc": "ROC-AUC", "recall_5": "R@5", "recall_10": "R@10"}


def draw_figures(report: BundleReport, folder: Path) -> list[Path]:
    """Draw headline figures, a chart per table of labels, reliability and confusions."""
    drawn = [_headline(report, folder / "report.png")]
    for table in report.tags:
        name = f"labels-{table.set}-{table.kind}.png".replace("+", "-")
        drawn.append(_by_label(table, folder / name))
    if report.reliability is not None:
        drawn.append(_reliability(report.reliability, folder / "reliability.png"))
    if report.confusion is not None:
        counts = np.asarray(report.confusion.counts, dtype=np.float64)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        title = "documented (rows) and most relevant (columns), share of tracks"
        labels = report.confusion.labels
        drawn.append(plot_matrix(shares, labels, labels, title, folder / "confusion.png"))
    return drawn


def _headline(report: BundleReport, path: Path) -> Path:
    names, found = [], []
    for tags in report.tags:
        names.append(f"{tags.set} {tags.kind} ROC-AUC")
        found.append(tags.measures["roc_auc"].bundle)
    for queries in report.queries:
        for measure, label in _SHOWN.items():
            if measure in queries.measures and measure != "roc_auc":
                names.append(f"{queries.set} {queries.kind} {label}")
                found.append(queries.measures[measure].bundle)
    return plot_intervals(
        names,
        [(i.value, i.low, i.high) for i in found],
        [i.chance for i in found],
        f"{report.bundle}, held out",
        path,
    )


def _by_label(table: TagTable, path: Path) -> Path:
    figure, axes = _figure(7, 1.4 + 0.25 * len(table.labels))
    rows = np.arange(len(table.labels))
    axes.barh(rows, [x.roc_auc for x in table.labels], color="#5b7fb5", label="bundle")
    if table.labels[0].teacher_roc_auc is not None:
        teacher = [x.teacher_roc_auc for x in table.labels]
        axes.plot(teacher, rows, "D", color="black", markersize=4, label="teacher search")
    axes.axvline(0.5, color="crimson", linewidth=1, label="chance")
    axes.set_yticks(rows, [f"{x.label} ({x.tracks})" for x in table.labels], fontsize=7)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_title(f"{table.set}: {table.kind}, ROC-AUC by label", fontsize=10)
    axes.legend(fontsize="x-small", loc="lower left")
    return save_figure(figure, path)


def _reliability(found: Reliability, path: Path) -> Path:
    figure, axes = _figure(5, 5)
    said = [b.probability for b in found.bins]
    true = [b.share_true for b in found.bins]
    top = max(*said, *true, 0.05) * 1.1
    axes.plot([0, top], [0, top], color="grey", linewidth=1, label="what it should be")
    axes.plot(said, true, "o-", color="#5b7fb5", label="measured")
    axes.axhline(found.base_rate, color="crimson", linewidth=1, label="base rate")
    axes.set(xlabel="probability given", ylabel="share that is true", xlim=(0, top), ylim=(0, top))
    axes.set_title(f"calibration over {found.pairs} pairs of label and track", fontsize=10)
    axes.legend(fontsize="small")
    return save_figure(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
