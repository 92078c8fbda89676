"""Curves and matrices as PNG, drawn without a display."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOT_CURVES = {"update", "kind"}


def plot_curves(lines: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw one PNG per group of numbers, training and validation together; [] without numbers.

    A group is what stands before the last dot of a name: `perplexity.3` joins `perplexity`.
    """
    groups: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        for name, value in line.items():
            if name not in _NOT_CURVES:
                group = name.rsplit(".", 1)[0]
                groups[group][f"{line['kind']} {name}"].append((line["update"], value))
    return [_plot_group(group, curves, folder) for group, curves in sorted(groups.items())]


def _plot_group(group: str, curves: dict[str, list[tuple[int, float]]], folder: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        updates, values = zip(*points, strict=True)
        axes.plot(updates, values, label=name, marker="." if len(points) < 30 else None)
    axes.set(xlabel="update", ylabel=group)
    axes.grid(alpha=0.3)
    if len(curves) <= 12:
        axes.legend(fontsize="small")
    return save_figure(figure, folder / f"{group.replace('/', '_')}.png")


def plot_code_use(counts: NDArray[np.integer], folder: Path) -> Path:
    """Draw how often codes are used: each codebook's codes, the commonest first, from [Q, K]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for book, uses in enumerate(counts):
        shares = np.sort(uses)[::-1] / max(int(uses.sum()), 1)
        axes.plot(np.arange(1, len(shares) + 1), shares, label=f"codebook {book + 1}")
    axes.set(xlabel="code, the commonest first", ylabel="share of tokens")
    axes.set_yscale("symlog", linthresh=1e-5)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return save_figure(figure, folder / "code_use.png")


def plot_matrix(
    matrix: NDArray[np.floating],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    path: Path,
) -> Path:
    """Draw a matrix of scores as an image with labelled sides."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 + 0.3 * len(columns), 3 + 0.2 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, aspect="auto", cmap="magma")
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.set_title(title)
    figure.colorbar(image)
    return save_figure(figure, path)


def plot_intervals(
    names: Sequence[str],
    estimates: Sequence[tuple[float, float, float]],
    chance: Sequence[float],
    title: str,
    path: Path,
) -> Path:
    """Draw (value, low, high) bars with their intervals and a mark at chance."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.2 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    for row, (value, low, high) in enumerate(estimates):
        axes.barh(row, value, color="#5b7fb5")
        axes.plot([low, high], [row, row], color="black", linewidth=2)
        axes.plot([chance[row]], [row], marker="|", markersize=16, color="crimson")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_title(title + " (black: 95 % interval, red: chance)", fontsize=10)
    return save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure as PNG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
