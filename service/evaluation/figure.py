"""The picture of docs/ranking.md: how often unrelated pairs reach a relevance."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.evaluation.unrelated import Curve

_INK = {"texts": "#0b5394", "clips": "#b45309"}


def draw_relevance(texts: Curve, clips: Curve, path: Path) -> None:
    """Share of pairs above a relevance over what it should be, both kinds with their bands."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(7, 5), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_facecolor("white")
    for kind, curve in (("texts", texts), ("clips", clips)):
        expected = 1 - np.array(curve.bars)
        label = f"{curve.queries} {kind} × {curve.recordings} recordings, with 95 % band"
        axes.fill_between(expected, curve.low, curve.high, color=_INK[kind], alpha=0.18, lw=0)
        axes.plot(expected, curve.shares, color=_INK[kind], marker=".", label=label)
    ends = np.array([1 - texts.bars[0], 1 - texts.bars[-1]])
    axes.plot(ends, ends, color="black", lw=1, ls="--", label="what it should be")
    axes.set(xscale="log", yscale="log", xlim=(ends.max(), ends.min()), ylim=(ends.min() / 3, 1))
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.set(xlabel="1 − relevance r", ylabel="share of unrelated pairs above r")
    axes.grid(alpha=0.3, which="both", lw=0.5)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
