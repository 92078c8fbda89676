"""`muquery evaluate probe`: from a manifest with labels to a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from models.training.evaluation.probing.features import Features, extract_features, open_muq
from models.training.evaluation.probing.probe import SEED, Part, ProbeResult, train_probe
from models.training.evaluation.probing.tasks import TASKS, ProbeError, Targets, make_targets
from models.training.manifest import SPLITS, read_manifest
from models.training.plots import plot_intervals, save_figure


def run_probe(
    task_name: str,
    model: str,
    manifest: Path,
    out: Path,
    *,
    cache: Path | None = None,
    device: str = "cpu",
    seed: int = SEED,
    learning_rate: float | None = None,
    say: Callable[[str], None] = print,
) -> ProbeResult:
    """Extract, train, judge and write probe-TASK.json and PNGs below `out`.

    Raises ProbeError where the manifest lacks a split or a label, and as the loaders of models do.
    """
    task = TASKS[task_name]
    entries = read_manifest(manifest)
    missing = [split for split in SPLITS if all(entry.split != split for entry in entries)]
    if missing:
        raise ProbeError(f"{manifest.name} has no tracks of the split {missing[0]}")
    targets = make_targets(task, entries)
    features = extract_features(open_muq(model), task, entries, manifest.parent, cache, device, say)
    parts: dict[str, Part] = {
        split: select(features, targets, [i for i, e in enumerate(entries) if e.split == split])
        for split in SPLITS
    }
    result = train_probe(task, parts, seed, learning_rate)
    write_probe_report(result, out)
    return result


def select(features: Features, targets: Targets, tracks: list[int]) -> Part:
    """The features and targets of some tracks, renumbered from 0."""
    chosen = np.isin(features.tracks, tracks)
    place = {track: number for number, track in enumerate(tracks)}
    owners = np.array([place[int(track)] for track in features.tracks[chosen]])
    return Part(
        Features(features.means[chosen], owners), Targets(targets.names, targets.values[tracks])
    )


def write_probe_report(result: ProbeResult, folder: Path) -> Path:
    """Write the JSON, the figures with their intervals, and what the layers weigh."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"probe-{result.task}.json"
    path.write_text(json.dumps(asdict(result), indent=1) + "\n", "utf-8")
    plot_intervals(
        list(result.figures),
        [(i.value, i.low, i.high) for i in result.figures.values()],
        [i.chance for i in result.figures.values()],
        f"probe: {result.task}, {result.tracks['test']} test tracks",
        path.with_suffix(".png"),
    )
    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(range(1, result.epochs + 1), result.validation)
    left.axvline(result.best_epoch, color="crimson", linewidth=1)
    left.set(xlabel="epoch", ylabel="validation", title=f"best epoch {result.best_epoch}")
    right.bar(range(1, len(result.layer_weights) + 1), result.layer_weights)
    right.set(xlabel="layer", ylabel="weight", title="learned mix")
    save_figure(figure, folder / f"probe-{result.task}-training.png")
    return path
