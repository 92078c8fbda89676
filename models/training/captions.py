"""What may be said about a track, with the chance of each text; a function of the entry alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.training.manifest import CaptionKind, ManifestEntry

_TEMPLATES = ("{tags}", "{tags} music", "a {tags} track", "music: {tags}")
_TAG_LISTS = 4
_MOST_TAGS = 5


@dataclass(frozen=True)
class CaptionWeights:
    """How often texts of each kind are drawn, times a caption's own weight; 0 leaves a kind out.

    `tags` is the weight of lists made of a track's tags: some of them, in any order, in a template.
    """

    fact: float = 1.0
    title: float = 0.2
    teacher: float = 0.5
    tags: float = 1.0

    def of(self, kind: CaptionKind) -> float:
        """Return the weight of one kind of caption."""
        return {"fact": self.fact, "title": self.title, "teacher": self.teacher}[kind]


@dataclass(frozen=True)
class WeightedTexts:
    """A track's texts and the chance of each; empty where nothing is known about it."""

    texts: tuple[str, ...]
    chances: tuple[float, ...]


def texts_of(entry: ManifestEntry, weights: CaptionWeights) -> WeightedTexts:
    """Collect a track's captions and a few lists of its tags."""
    weighted: dict[str, float] = {}
    for caption in entry.captions:
        weight = weights.of(caption.kind) * caption.weight
        if weight > 0:
            weighted[caption.text] = weighted.get(caption.text, 0.0) + weight
    lists = tag_texts(entry) if weights.tags > 0 else []
    for text in lists:
        weighted[text] = weighted.get(text, 0.0) + weights.tags / len(lists)
    total = sum(weighted.values())
    return WeightedTexts(tuple(weighted), tuple(weight / total for weight in weighted.values()))


def tag_texts(entry: ManifestEntry) -> list[str]:
    """Make lists of a track's tags: a random part of them, shuffled, in a template."""
    tags = [value for values in entry.tags.values() for value in values]
    if not tags:
        return []
    seed = int.from_bytes(hashlib.sha256(entry.id.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    return [_one_list(tags, rng) for _ in range(_TAG_LISTS)]


def _one_list(tags: Sequence[str], rng: np.random.Generator) -> str:
    count = int(rng.integers(1, min(len(tags), _MOST_TAGS) + 1))
    chosen = [tags[i] for i in rng.permutation(len(tags))[:count]]
    template = _TEMPLATES[int(rng.integers(len(_TEMPLATES)))]
    return template.format(tags=", ".join(chosen))
