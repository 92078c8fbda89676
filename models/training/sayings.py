"""What listeners type for plain musical terms, read from the repository's collections.

`said/` holds one file for each collection, written by hand by other authors than the ones before:
lines of a term and its texts, separated by bars. The texts of `named.txt` say the term, among other
things; those of all other collections do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.checksum import file_sha256

FOLDER = Path(__file__).with_name("said")
NAMED = "named"
"""The collection whose texts say their terms."""


class SayingsError(ValueError):
    """A line is not of the form that the files have; the message says which and why."""


@dataclass(frozen=True)
class Saying:
    """A text, the plain term that it means, and the collection that it comes from."""

    term: str
    text: str
    collection: str


def read_sayings(collection: str, lines: Iterable[str]) -> list[Saying]:
    """Read lines of a term and its texts, separated by bars; SayingsError names the bad line."""
    found: dict[str, Saying] = {}
    terms: set[str] = set()
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{collection}, line {number}"
        term, *texts = (part.strip() for part in line.split("|"))
        if not term or not texts or not all(texts):
            raise SayingsError(f"{where}: a term and its texts are wanted, separated by |")
        if term in terms:
            raise SayingsError(f"{where}: {term!r} has a line already")
        terms.add(term)
        for text in texts:
            if text.lower() in found:
                raise SayingsError(f"{where}: {text!r} was said before")
            found[text.lower()] = Saying(term, text, collection)
    return list(found.values())


def join_sayings(collections: Sequence[Sequence[Saying]]) -> list[Saying]:
    """All sayings in order; SayingsError for a text that two collections give to two terms."""
    joined: dict[str, Saying] = {}
    for saying in (saying for sayings in collections for saying in sayings):
        before = joined.setdefault(saying.text.lower(), saying)
        if before.term != saying.term:
            raise SayingsError(
                f"{saying.text!r} means {before.term!r} in {before.collection} and "
                f"{saying.term!r} in {saying.collection}"
            )
    return list(joined.values())


@cache
def the_sayings() -> tuple[Saying, ...]:
    """Read the sayings of the repository."""
    return tuple(
        join_sayings(
            [read_sayings(p.stem, p.read_text("utf-8").splitlines()) for p in _collections()]
        )
    )


def terms_of(sayings: Iterable[Saying]) -> list[str]:
    """The terms of sayings, each once, in order."""
    return list(dict.fromkeys(saying.term for saying in sayings))


def sayings_sha256() -> Mapping[str, str]:
    """The SHA-256 of every collection's file, by its name."""
    return {path.stem: file_sha256(path) for path in _collections()}


def _collections() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))
