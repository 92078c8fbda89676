"""What may be said about a track, with the chance of each text; a function of the entry alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.manifest import CaptionKind, ManifestEntry
from models.training.tag_words import SEPARATORS, TEMPLATES, translate_tag


@dataclass(frozen=True)
class CaptionWeights:
    """How often texts of each kind are drawn, times a caption's own weight; 0 leaves a kind out.

    `tags` is the weight of lists made of a track's tags, `tag_lists` of them for each track: some
    of the tags (the others are dropped; at most `most_tags` stay), in any order, in a template of
    one of the `languages`.
    """

    fact: float = 1.0
    title: float = 0.2
    teacher: float = 0.5
    tags: float = 1.0
    tag_lists: int = 4
    most_tags: int = 5
    languages: tuple[str, ...] = ("en",)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.languages) - set(TEMPLATES))
        if unknown or not self.languages:
            raise ValueError(f"no templates for {unknown}; there are {', '.join(TEMPLATES)}")
        if min(self.tag_lists, self.most_tags) < 1:
            raise ValueError("tag_lists and most_tags must be at least 1")

    def of(self, kind: CaptionKind) -> float:
        """Return the weight of one kind of caption."""
        return {"fact": self.fact, "title": self.title, "teacher": self.teacher}[kind]


@dataclass(frozen=True)
class WeightedTexts:
    """A track's texts and the chance of each; empty where nothing is known about it.

    `stated` are the tags that a text names, empty for one that was not made of tags.
    """

    texts: tuple[str, ...]
    chances: tuple[float, ...]
    stated: tuple[frozenset[str], ...]


@dataclass(frozen=True)
class TagText:
    """A list of tags as a sentence, and the tags that it names."""

    text: str
    tags: frozenset[str]


def texts_of(entry: ManifestEntry, weights: CaptionWeights) -> WeightedTexts:
    """Collect a track's captions and a few lists of its tags."""
    weighted: dict[str, float] = {}
    stated: dict[str, frozenset[str]] = {}
    for caption in entry.captions:
        weight = weights.of(caption.kind) * caption.weight
        if weight > 0:
            weighted[caption.text] = weighted.get(caption.text, 0.0) + weight
    lists = tag_texts(entry, weights) if weights.tags > 0 else []
    for listed in lists:
        weighted[listed.text] = weighted.get(listed.text, 0.0) + weights.tags / len(lists)
        stated[listed.text] = listed.tags
    total = sum(weighted.values())
    return WeightedTexts(
        tuple(weighted),
        tuple(weight / total for weight in weighted.values()),
        tuple(stated.get(text, frozenset()) for text in weighted),
    )


def tag_texts(entry: ManifestEntry, weights: CaptionWeights) -> list[TagText]:
    """Make lists of a track's tags: a random part of them, shuffled, in a template."""
    tags = [value for values in entry.tags.values() for value in values]
    if not tags:
        return []
    seed = int.from_bytes(hashlib.sha256(entry.id.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    return [_one_list(tags, weights, rng) for _ in range(weights.tag_lists)]


def _one_list(tags: Sequence[str], weights: CaptionWeights, rng: np.random.Generator) -> TagText:
    count = int(rng.integers(1, min(len(tags), weights.most_tags) + 1))
    chosen = [tags[i] for i in rng.permutation(len(tags))[:count]]
    language = weights.languages[0]
    if len(weights.languages) > 1:
        language = weights.languages[int(rng.integers(len(weights.languages)))]
    template = TEMPLATES[language][int(rng.integers(len(TEMPLATES[language])))]
    words = SEPARATORS.get(language, ", ").join(translate_tag(tag, language) for tag in chosen)
    return TagText(template.format(tags=words), frozenset(chosen))


class TagMatches:
    """Which texts hold true for which tracks, as far as both are known by their tags.

    Legend: B pairs, T tracks, N texts, V different tags.
    """

    def __init__(self, tracks: Sequence[frozenset[str]], texts: Sequence[frozenset[str]]) -> None:
        places = {tag: i for i, tag in enumerate(sorted(frozenset().union(*tracks, *texts)))}
        self._tracks = _one_hot(tracks, places)
        self._texts = _one_hot(texts, places)
        self._sizes = self._texts.sum(axis=1)

    def between(self, tracks: NDArray[np.int64], texts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for pairs of tracks and texts by number [B] which text fits which track [B, B].

        A text fits a track that carries all tags it names; one that names none fits its own pair
        and equal texts only.
        """
        shared = self._tracks[tracks] @ self._texts[texts].T
        named = self._sizes[texts][None, :]
        fits: NDArray[np.bool_] = (shared == named) & (named > 0)
        same: NDArray[np.bool_] = texts[:, None] == texts[None, :]
        return fits | same


def _one_hot(sets: Sequence[frozenset[str]], places: dict[str, int]) -> NDArray[np.float32]:
    rows = np.zeros((len(sets), max(len(places), 1)), dtype=np.float32)
    for row, tags in zip(rows, sets, strict=True):
        row[[places[tag] for tag in tags]] = 1.0
    return rows
