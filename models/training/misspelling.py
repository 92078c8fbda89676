"""Typing errors: for what a student is asked, and for measuring what they do to a model."""

from __future__ import annotations

import numpy as np

_LONG_WORD = 5
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def mistype(word: str, rng: np.random.Generator) -> str:
    """One typing error: two letters swapped, one left out, doubled, or another in its place."""
    place = int(rng.integers(1, len(word) - 1))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    other = _LETTERS[int(rng.integers(len(_LETTERS)))]
    made = (before + after[:1] + letter + after[1:], before + after,
            before + letter * 2 + after, before + other + after)  # fmt: skip
    return made[int(rng.integers(len(made)))]


def mistype_one(text: str, rng: np.random.Generator) -> str:
    """A typing error in one of the long words; a text without any stays as it is."""
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) >= _LONG_WORD]
    if long:
        place = long[int(rng.integers(len(long)))]
        words[place] = mistype(words[place], rng)
    return " ".join(words)


def mistype_all(text: str, rng: np.random.Generator) -> str:
    """A typing error in each long word."""
    return " ".join(mistype(w, rng) if len(w) >= _LONG_WORD else w for w in text.split(" "))
