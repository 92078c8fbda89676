"""The report of a fine-tuning run: report.json, report.txt for a person, report.png."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.training.finetuning.judging import Comparison, GeneralAbility

REPORT_NAME = "finetuning"


@dataclass(frozen=True)
class FinetuneReport:
    """What a run came to: data, course, comparison on the held-out part, general ability."""

    parent: str
    tracks: dict[str, int]
    groups: dict[str, int]
    updates: int
    best_update_loss: float | None
    start_loss: float
    comparisons: tuple[Comparison, ...]
    ability: GeneralAbility
    check: tuple[Comparison, ...] = ()

    @property
    def headline(self) -> Comparison:
        """The first figure: ROC-AUC over all labels."""
        return self.comparisons[0]

    def sentence(self) -> str:
        """Say in one sentence whether it helped."""
        figure = self.headline
        change = (
            f"{figure.name} over {figure.labels} labels on {figure.tracks} held-out tracks went "
            f"from {figure.before.value:.3f} to {figure.after.value:.3f} "
            f"({figure.difference.value:+.3f}, 95 % interval "
            f"{figure.difference.low:+.3f} to {figure.difference.high:+.3f})"
        )
        verdicts = {
            "helped": "Fine-tuning helped",
            "harmed": "Fine-tuning did harm: keep the original",
            "no measurable difference": "Whether fine-tuning helped cannot be told",
        }
        return f"{verdicts[figure.verdict]}: {change}."

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, with the verdicts."""
        values = asdict(self)
        for name in ("comparisons", "check"):
            for line, comparison in zip(values[name], getattr(self, name), strict=True):
                line["verdict"] = comparison.verdict
        return {"summary": self.sentence(), "verdict": self.headline.verdict, **values}


def write_finetune_report(report: FinetuneReport, folder: Path) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
    (folder / f"{REPORT_NAME}.json").write_text(text + "\n", "utf-8")
    (folder / f"{REPORT_NAME}.txt").write_text(report_text(report), "utf-8")
    plot_report(report, folder / f"{REPORT_NAME}.png")


def report_text(report: FinetuneReport) -> str:
    """Lay the report out for a person."""
    ability = report.ability
    lines = [
        report.sentence(),
        "",
        f"Started from {report.parent}; learned from {report.tracks['train']} tracks, stopped by "
        f"{report.tracks['valid']}, after {report.updates} updates.",
        f"Loss on the tracks to stop by: {report.start_loss:.4f} at the start, "
        f"{report.best_update_loss:.4f} at its best."
        if report.best_update_loss is not None
        else "It was never validated.",
        "",
        *_table(report.comparisons),
        "",
        "What is left of the original, on the same held-out tracks (1 is all of it):",
        f"  vectors of tracks           {ability.clip_cosine:.3f} mean cosine",
        f"  rankings by general words   {ability.ranking:.3f} mean rank correlation",
        f"  likeness between tracks     {ability.neighbours:.3f} rank correlation",
        f"  vectors of texts            moved by at most {ability.text_difference:.1g}",
    ]
    if report.check:
        lines += ["", "On the labelled set given as a check of general ability:"]
        lines += _table(report.check)
    return "\n".join(lines) + "\n"


def plot_report(report: FinetuneReport, path: Path) -> Path:
    """Draw before and after with their intervals, one pair of bars a figure."""
    from matplotlib.figure import Figure

    rows = [*report.comparisons, *report.check]
    figure = Figure(figsize=(8, 1.4 + 0.6 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        for shift, interval, colour in ((-0.2, row.before, "#9aa5b1"), (0.2, row.after, "#2f6fb0")):
            axes.barh(place + shift, interval.value, height=0.36, color=colour)
            axes.plot([interval.low, interval.high], [place + shift] * 2, color="black")
    names = [f"{row.name}\n{row.verdict}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_title("Held-out tracks: before (grey), after (blue), 95 % intervals", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _table(rows: Sequence[Comparison]) -> list[str]:
    lines = [f"{'':34s} {'before':>7s} {'after':>7s}   difference (95 % interval)"]
    for row in rows:
        gap = row.difference
        lines.append(
            f"{row.name:34s} {row.before.value:7.3f} {row.after.value:7.3f}   "
            f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}) {row.verdict}; "
            f"{row.labels} labels, {row.tracks} tracks"
        )
    return lines
