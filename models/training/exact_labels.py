"""Learning from exact labels: every name of a label is asked of the clips whose facts are known.

Legend: B clips, V labels, E embedding width.

A caption names a few things that are true of its clip; a rendered piece is known whole, so what it
does not name is known too. For each label the clips that carry it are to score above those that
do not, and for each clip its own labels above the others of the same group.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training.manifest import ManifestEntry

_MOST_LOG_SCALE = math.log(100.0)
_PHRASES: Mapping[str, tuple[str, ...]] = {
    "instrument": ("{}", "{} music", "music with {}", "{} playing"),
    "family": ("{}", "{} music", "music with {}"),
    "genre": ("{}", "{} music", "a {} track"),
    "tempo": ("{}", "{} music", "{} tempo"),
    "mode": ("{}", "{} key", "in a {} key"),
    "drums": ("{}", "music with {}"),
}


@dataclass(frozen=True)
class ExactLabelConfig:
    """How much exact labels count; with a weight of 0 they are not asked.

    A track is known whole if it says something in every one of `groups`; these are the groups that
    are asked. Only a renderer's facts can be trusted so: a recording that names no flute may have
    one.
    """

    weight: float = 0.0
    groups: tuple[str, ...] = ("instrument", "family", "genre", "tempo", "mode", "drums")
    fewest_tracks: int = 8

    def __post_init__(self) -> None:
        unknown = sorted(set(self.groups) - set(_PHRASES))
        if unknown or not self.groups:
            raise ValueError(f"no phrases for {unknown}; there are {', '.join(_PHRASES)}")
        if self.weight < 0 or self.fewest_tracks < 1:
            raise ValueError("exact labels need a weight of 0 or more, and one track or more each")


class ExactLabels:
    """The labels of a corpus that can be asked, how they are worded, and which tracks carry them.

    Raises ValueError where no track is known whole, or no label is carried often enough.
    """

    def __init__(self, config: ExactLabelConfig, entries: Sequence[ManifestEntry]) -> None:
        known = [all(entry.tags.get(group) for group in config.groups) for entry in entries]
        if not any(known):
            raise ValueError(f"no track has all of {', '.join(config.groups)}")
        self.known: NDArray[np.bool_] = np.array(known)
        carried = [
            {(group, value) for group in config.groups for value in entry.tags[group]}
            if whole
            else set()
            for entry, whole in zip(entries, known, strict=True)
        ]
        counts = Counter(chain.from_iterable(carried))
        asked = sorted(label for label, count in counts.items() if count >= config.fewest_tracks)
        if not asked:
            raise ValueError(f"no label is carried by {config.fewest_tracks} tracks")
        self.labels: tuple[tuple[str, str], ...] = tuple(asked)
        self.groups: NDArray[np.int64] = np.array(
            [config.groups.index(group) for group, _ in asked], dtype=np.int64
        )
        self._carried = np.array([[label in labels for label in asked] for labels in carried])
        phrases = [[phrase.format(value) for phrase in _PHRASES[group]] for group, value in asked]
        self.texts: list[str] = [text for wordings in phrases for text in wordings]
        self._counts = np.array([len(wordings) for wordings in phrases], dtype=np.int64)
        self._firsts = np.cumsum(self._counts) - self._counts

    def wordings(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw one wording of every label: places [V] in `texts`."""
        return self._firsts + (rng.random(len(self._counts)) * self._counts).astype(np.int64)

    def of(self, tracks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which of the tracks [B] carry which labels [B, V]; unknown tracks carry none."""
        carried: NDArray[np.bool_] = self._carried[tracks]
        return carried


class LabelScales(nn.Module):
    """Two learned scales of the similarities: one over clips, one over labels."""

    def __init__(self) -> None:
        super().__init__()
        self.over_clips = nn.Parameter(torch.tensor(math.log(10.0)))
        self.over_labels = nn.Parameter(torch.tensor(math.log(10.0)))


def exact_label_loss(
    scales: LabelScales, similarities: Tensor, carried: Tensor, groups: Tensor
) -> Tensor:
    """Compare labels with clips; similarities and carried [B, V], groups [V] by number.

    The mean surprise at a label's true clips among its false ones, and at a clip's true labels
    among the false ones of their group. 0 where a batch has nothing to compare.
    """
    by_clips = similarities.float() * scales.over_clips.clamp(max=_MOST_LOG_SCALE).exp()
    by_labels = similarities.float() * scales.over_labels.clamp(max=_MOST_LOG_SCALE).exp()
    over_clips = _surprise(by_clips.T, carried.T)
    parts = [
        _surprise(by_labels[:, groups == group], carried[:, groups == group])
        for group in sorted(set(groups.tolist()))
    ]
    return over_clips + torch.stack(parts).mean()


def _surprise(scores: Tensor, true: Tensor) -> Tensor:
    """Mean over rows of the mean surprise at a true column among the row's false ones."""
    told = true.any(dim=1) & ~true.all(dim=1)
    if not bool(told.any()):
        return scores.sum() * 0.0
    scores, true = scores[told], true[told]
    false = scores.masked_fill(true, float("-inf")).logsumexp(dim=1, keepdim=True)
    surprises = functional.softplus(false - scores) * true
    return (surprises.sum(dim=1) / true.sum(dim=1)).mean()
