"""How any text is read as a weighting of the teacher's tags.

Legend: Q texts, A anchors (tags and phrases of the glossary), K tags, E text embedding width.

A text that names phrases of the glossary means their mean. Any other is read by its likeness to
tags and phrases: a softmax over them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.training.teacher.glossary import Glossary, the_glossary
from models.training.teacher.search import likeness, spoken_tags
from models.training.teacher.vocabulary import TEACHER_TAGS

Floats = NDArray[np.float32]


class TagReader:
    """Reads texts with a sentence encoder and a glossary."""

    def __init__(
        self, embed: Callable[[Sequence[str]], Floats], glossary: Glossary | None = None
    ) -> None:
        self._embed = embed
        self._glossary = glossary = glossary or the_glossary()
        self._anchors = embed([*spoken_tags(TEACHER_TAGS), *glossary.phrases])
        tags = np.eye(len(TEACHER_TAGS), dtype=np.float32)
        self._meanings = np.concatenate([tags, glossary.weights])
        self._places = {phrase.lower(): i for i, phrase in enumerate(glossary.phrases)}
        # The longest first: "no drums" is not "drums".
        phrases = sorted(self._places, key=len, reverse=True)
        words = "|".join(re.escape(phrase) for phrase in phrases)
        self._named = re.compile(rf"(?<!\w)(?:{words})(?!\w)")

    def read(self, texts: Sequence[str]) -> Floats:
        """Return the weights [Q, K] of texts: of the phrases that they name, or by likeness."""
        meant = np.zeros((len(texts), len(TEACHER_TAGS)), dtype=np.float32)
        other = []
        for place, text in enumerate(texts):
            if found := self.phrases_in(text):
                meant[place] = self._glossary.weights[found].mean(axis=0)
            else:
                other.append(place)
        if other:
            meant[other] = self.by_likeness(self._embed([texts[place] for place in other]))
        return meant

    def phrases_in(self, text: str) -> list[int]:
        """Return the phrases, by number, that a text names as whole words."""
        return [self._places[name] for name in self._named.findall(text.lower())]

    def by_likeness(self, vectors: Floats) -> Floats:
        """Return the weights [Q, K] of text vectors [Q, E], by the anchors that they are near."""
        weights: Floats = likeness(vectors, self._anchors) @ self._meanings
        return weights
