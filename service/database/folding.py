"""Texts as they are compared: "Björk", "björk " and "BJORK" are one artist.

Folded text is stored beside what was written, by the same code for SQLite and PostgreSQL, so that
equality, order and counts are the same on both and can use an index.
"""

from __future__ import annotations

import hashlib
import unicodedata

FOLDED_CHARS = 120
"""Length of a stored folded text: several of them, at 4 bytes a letter, fit one index entry."""

_DIGEST_CHARS = 16
# Only here a mark is an accent: in other scripts it makes another letter (й, が, कि).
_ACCENTED_SCRIPTS = ("LATIN", "GREEK")


def fold(text: str) -> str:
    """The text without case, accents (Latin and Greek) and repeated blanks."""
    if text.isascii():
        return " ".join(text.lower().split())
    plain = _without_accents(_without_accents(text).casefold())
    return " ".join(unicodedata.normalize("NFC", plain).split())


def folded_key(text: str | None) -> str | None:
    """The folded text as it is stored; one past FOLDED_CHARS ends in a digest of all of it."""
    if text is None:
        return None
    folded = fold(text)
    if len(folded) <= FOLDED_CHARS:
        return folded
    digest = hashlib.sha256(folded.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return folded[: FOLDED_CHARS - _DIGEST_CHARS] + digest


def _without_accents(text: str) -> str:
    kept: list[str] = []
    strips = False
    for character in unicodedata.normalize("NFKD", text):
        if unicodedata.combining(character):
            if strips:
                continue
        else:
            strips = unicodedata.name(character, "").startswith(_ACCENTED_SCRIPTS)
        kept.append(character)
    return "".join(kept)
