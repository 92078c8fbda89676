"""The probing tasks: what a track's tags must say, how audio is cut, how a head is trained.

Cutting, learning rates, patience and epochs are those of the MARBLE benchmark's first version, as
far as they are known; where a layer was chosen by hand there, a mix of all is learned here. Splits
come with the manifest: the readers of `models.training.datasets` make the published ones.
MTG-Jamendo has no task there; its settings here are those of MagnaTagATune, on 30 s chunks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.training.manifest import ManifestEntry

Target = Literal["class", "labels", "values"]
_TONICS = ("c", "c#", "d", "eb", "e", "f", "f#", "g", "ab", "a", "bb", "b")
KEYS: tuple[str, ...] = tuple(f"{t} {mode}" for mode in ("major", "minor") for t in _TONICS)
_SPELLINGS = {"db": "c#", "d#": "eb", "gb": "f#", "g#": "ab", "a#": "bb"}


class ProbeError(ValueError):
    """A manifest does not hold what a task needs."""


@dataclass(frozen=True)
class ProbeTask:
    """One task.

    `kinds` of tags make the target: one class, any number of labels, or one number a kind.
    `chunk_s` cuts a track into stretches whose answers are averaged; None takes it whole, at most
    `longest_s` of it. `patience` halves the learning rate, `stop_after` ends the training, both
    counted in epochs without a better validation figure.
    """

    name: str
    kinds: tuple[str, ...]
    target: Target
    metrics: tuple[str, ...]
    chunk_s: float | None
    longest_s: float
    learning_rate: float
    patience: int
    stop_after: int
    epochs: int
    classes: tuple[str, ...] | None = None


TASKS: dict[str, ProbeTask] = {
    task.name: task
    for task in (
        ProbeTask(
            "magnatagatune", ("tag",), "labels", ("roc_auc", "pr_auc"), None, 30, 1e-3, 3, 10, 100
        ),
        ProbeTask("gtzan", ("genre",), "class", ("accuracy",), None, 30, 5e-3, 6, 20, 100),
        ProbeTask(
            "giantsteps", ("key",), "class", ("refined_accuracy", "accuracy"), 30, 120, 1e-3, 5, 20,
            100, KEYS,
        ),
        ProbeTask("emomusic", ("arousal", "valence"), "values", ("r2",), 5, 30, 1e-3, 5, 20, 100),
        ProbeTask("vocalset-singer", ("singer",), "class", ("accuracy",), 3, 60, 1e-3, 5, 20, 100),
        ProbeTask(
            "vocalset-technique", ("technique",), "class", ("accuracy",), 3, 60, 1e-3, 5, 10, 100
        ),
        ProbeTask("nsynth-instrument", ("instrument",), "class", ("accuracy",), None, 4, 1e-3, 3,
                  10, 50),
        ProbeTask("nsynth-pitch", ("pitch",), "class", ("accuracy",), None, 4, 1e-3, 3, 10, 50),
        ProbeTask(
            "mtg-jamendo", ("genre", "instrument", "mood/theme"), "labels",
            ("roc_auc", "pr_auc"), 30, 300, 1e-3, 3, 10, 100,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Targets:
    """What is to be learned of N tracks: class numbers [N], or labels or numbers [N, C]."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


def make_targets(task: ProbeTask, entries: Sequence[ManifestEntry]) -> Targets:
    """Read the targets of tracks, in their order; ProbeError names a track that lacks one."""
    if task.target == "labels":
        names = sorted({(k, v) for e in entries for k in task.kinds for v in e.tags.get(k, ())})
        # A track without any label is one to which none fits: the benchmark keeps those.
        rows = [[float(v in e.tags.get(k, ())) for k, v in names] for e in entries]
        return Targets(tuple(v for _, v in names), np.array(rows, dtype=np.float32))
    if task.target == "values":
        numbers = [[float(_only(entry, kind)) for kind in task.kinds] for entry in entries]
        return Targets(task.kinds, np.array(numbers, dtype=np.float32))
    said = [_spelt(task, _only(entry, task.kinds[0])) for entry in entries]
    names_of = task.classes or tuple(sorted(set(said)))
    place = {name: number for number, name in enumerate(names_of)}
    unknown = sorted(set(said) - set(place))
    if unknown:
        raise ProbeError(f"{task.name} knows no class {unknown[0]!r}")
    return Targets(names_of, np.array([place[name] for name in said], dtype=np.float32))


def refined_weights(size: int = len(KEYS)) -> NDArray[np.float32]:
    """What naming key j is worth where key i is right [24, 24], as in MIREX.

    1 for the key itself, 0.5 for a fifth above in the same mode, 0.3 for the relative, 0.2 for the
    parallel key.
    """
    worth = np.zeros((size, size), dtype=np.float32)
    for right in range(size):
        mode, tonic = divmod(right, 12)
        relative = (tonic + 9) % 12 + 12 if mode == 0 else (tonic + 3) % 12
        worth[right, right] = 1.0
        worth[right, 12 * mode + (tonic + 7) % 12] = 0.5
        worth[right, relative] = 0.3
        worth[right, 12 * (1 - mode) + tonic] = 0.2
    return worth


def _only(entry: ManifestEntry, kind: str) -> str:
    values = entry.tags.get(kind, ())
    if len(values) != 1:
        raise ProbeError(f"{entry.id} has {len(values)} values of {kind}; one is needed")
    return values[0]


def _spelt(task: ProbeTask, name: str) -> str:
    if task.classes is not KEYS:
        return name
    match = re.fullmatch(r"([a-g][#b]?) (major|minor)", name.lower())
    return f"{_SPELLINGS.get(match[1], match[1])} {match[2]}" if match else name
