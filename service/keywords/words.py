"""Texts as words that compare alike whatever their case, accents or script.

Both what is stored and what is asked go through `words_of`, so neither database's own ideas about
letters matter: they only ever see words made of letters, digits and marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from service.database.folding import fold

MAX_WORD_CHARS = 64
MAX_FIELD_WORDS = 200
MAX_TEXT_CHARS = 4_000
"""Of one field; what lies behind is not found by words."""

# Letters that no decomposition takes apart.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
)
_APOSTROPHES = re.compile("(?<=\\w)['’ʼ`](?=\\w)")
# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, Han with extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def words_of(text: str | None) -> list[str]:
    """The folded words in order: `["l", "ete", "no", "5"]` of "L. Été, No. 5".

    A run of a script without spaces gives its pairs of letters and its last letter, so that any
    part of it is found.
    """
    if not text:
        return []
    kept = "".join(
        character if _is_word(character) else " "
        for character in _APOSTROPHES.sub("", fold(text[:MAX_TEXT_CHARS]).translate(_LETTERS))
    )
    words = (part for run in kept.split() for part in _parts(run))
    return [word[:MAX_WORD_CHARS] for word, _ in zip(words, range(MAX_FIELD_WORDS), strict=False)]


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def _parts(run: str) -> Iterator[str]:
    start = 0
    for unspaced in _UNSPACED.finditer(run):
        if unspaced.start() > start:
            yield run[start : unspaced.start()]
        letters = unspaced.group()
        yield from (letters[i : i + 2] for i in range(len(letters)))
        start = unspaced.end()
    if start < len(run):
        yield run[start:]
