"""Runs the cells, resuming what was interrupted, and collects figures, a table and a plot."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from models.training.ablation.judging import Figure, Judge, judge_step
from models.training.ablation.plan import Cell, Sizes, Step, plan_cell
from models.training.data import open_training_data
from models.training.loop import Trainer
from models.training.run import Run

FIGURES_FILE, TABLE_FILE, PLOT_FILE = "figures.jsonl", "table.md", "ablation.png"


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one update of a run, and of all of it."""

    step: str
    updates: int
    per_update_s: float

    @property
    def total_s(self) -> float:
        return self.updates * self.per_update_s


def run_ablation(
    out: Path, names: Sequence[str], seeds: Sequence[int], sizes: Sizes, judges: Sequence[Judge]
) -> list[Figure]:
    """Train and judge every cell for every seed, seed by seed; finished ones are not done again.

    A judge that is named later judges the runs that there are. Raises ValueError where `out` holds
    a comparison of other sizes.
    """
    out.mkdir(parents=True, exist_ok=True)
    _keep_sizes(out, sizes)
    for seed in seeds:
        for name in names:
            cell = plan_cell(name, seed, sizes, out)
            measures = {f.measure for f in read_figures(out) if (f.cell, f.seed) == (name, seed)}
            missing = [j for j in judges if not any(j.has_measured(m) for m in measures)]
            if not missing:
                continue
            for step in cell.steps:
                _train(step)
            figures = judge_step(name, seed, cell.steps[-1], missing)
            with (out / FIGURES_FILE).open("a", encoding="utf-8") as lines:
                lines.writelines(json.dumps(figure.as_json()) + "\n" for figure in figures)
            write_table(out, read_figures(out))
    return read_figures(out)


def read_figures(out: Path) -> list[Figure]:
    """Read what was judged so far."""
    path = out / FIGURES_FILE
    if not path.exists():
        return []
    return [Figure(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def estimate(cell: Cell, sample_updates: int, scratch: Path) -> list[Cost]:
    """Time a few updates of each of a cell's runs; steps that need an earlier run are left out.

    CPU seconds of this process, so that other work on the machine does not count.
    """
    costs = []
    for step in cell.steps:
        module = importlib.import_module(f"models.training.{step.stage}")
        task_class = {"mel_rvq": "MelRvqTask", "muq": "MuqTask", "relabel": "RelabelTask",
                      "mulan": "MulanTask"}[step.stage]  # fmt: skip
        recipe = step.recipe
        task = getattr(module, task_class)(recipe, open_training_data(recipe.data))
        run = Run.open_new(scratch / step.folder.name / cell.name, step.stage, "x", {}, "none")
        trainer = Trainer(task, run, recipe.optimiser, recipe.loop)
        trainer.train(stop_after=1)
        before = time.process_time()
        trainer.train(stop_after=1 + sample_updates)
        seconds = (time.process_time() - before) / sample_updates
        costs.append(Cost(f"{cell.name}: {step.stage}", recipe.optimiser.updates, seconds))
    return costs


def write_table(out: Path, figures: Sequence[Figure]) -> None:
    """Write the table, a cell a row, and the plot; means over seeds with their spread."""
    measures = list(dict.fromkeys(figure.measure for figure in figures))
    cells = list(dict.fromkeys(figure.cell for figure in figures))
    lines = [
        "| cell | seeds | " + " | ".join(measures) + " |",
        "| --- | --- | " + " | ".join("---" for _ in measures) + " |",
    ]
    for cell in cells:
        own = [figure for figure in figures if figure.cell == cell]
        seeds = len({figure.seed for figure in own})
        columns = [_column([f for f in own if f.measure == measure]) for measure in measures]
        lines.append(f"| {cell} | {seeds} | " + " | ".join(columns) + " |")
    (out / TABLE_FILE).write_text("\n".join(lines) + "\n", "utf-8")
    _plot(out / PLOT_FILE, measures, cells, figures)


def _column(figures: Sequence[Figure]) -> str:
    """Mean over seeds, its standard deviation, and for one seed the interval over tracks."""
    if not figures:
        return ""
    values = np.array([figure.value for figure in figures])
    if len(values) == 1:
        return f"{values[0]:.3f} [{figures[0].low:.3f}, {figures[0].high:.3f}]"
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


def _plot(
    path: Path, measures: Sequence[str], cells: Sequence[str], figures: Sequence[Figure]
) -> None:
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(9, 1.0 + 2.2 * len(measures)), layout="constrained")
    all_axes = np.atleast_1d(drawing.subplots(len(measures), 1))
    for axes, measure in zip(all_axes, measures, strict=True):
        shown = [figure for figure in figures if figure.measure == measure]
        for figure in shown:
            place = cells.index(figure.cell)
            axes.plot([place] * 2, [figure.low, figure.high], color="#b8c4d0", linewidth=3)
            axes.plot(place, figure.value, "o", color="#2f6fb0")
        if shown:
            axes.axhline(shown[0].chance, color="crimson", linewidth=1)
        axes.set_xticks(range(len(cells)), cells, rotation=30, ha="right", fontsize=7)
        axes.set_title(f"{measure} (dots: seeds; bars: 95 % over tracks; red: chance)", fontsize=8)
    drawing.savefig(path, dpi=110)


def _keep_sizes(out: Path, sizes: Sizes) -> None:
    path = out / "sizes.json"
    text = json.dumps(asdict(sizes), indent=2) + "\n"
    if path.exists() and path.read_text("utf-8") != text:
        raise ValueError(f"{out} holds a comparison of other sizes; choose another folder")
    path.write_text(text, "utf-8")


def _train(step: Step) -> None:
    """Run a step to its end, from its last checkpoint where it has one."""
    checkpoint = Run(step.folder).last_checkpoint
    if _is_finished(step):
        return
    print(f"--- {step.folder}", file=sys.stderr, flush=True)
    module = importlib.import_module(f"models.training.{step.stage}")
    started = (step.folder / "config.json").exists()
    if started and not checkpoint.exists():
        # Killed before its first checkpoint: nothing to keep.
        (step.folder / "config.json").unlink()
        started = False
    getattr(module, f"train_{step.stage}")(step.recipe, step.folder, "ablation", started)
    (step.folder / "finished").touch()


def _is_finished(step: Step) -> bool:
    if not (step.folder / "finished").exists():
        return False
    with safe_open(Run(step.folder).last_checkpoint, framework="pt") as stored:
        state = json.loads(stored.metadata()["state"])
    return bool(state["update"] >= step.recipe.optimiser.updates)
