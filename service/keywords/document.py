"""What words a track is found by, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from service.keywords.words import MAX_WORD_CHARS, words_of

Field = Literal["title", "artist", "album", "genre", "tags", "filename"]

FIELD_POINTS: Mapping[Field, int] = {
    "title": 10,
    "artist": 8,
    "album": 5,
    "genre": 4,
    "tags": 3,
    "filename": 2,
}
"""What a word counts in each field; a track's words count once each, where they count most."""

WHOLE_FIELDS: Mapping[Field, str] = {"title": "t", "artist": "a", "album": "l"}
"""Fields whose words are also kept run together, behind this letter: "tclairdelune"."""


@dataclass(frozen=True)
class Document:
    """The words of each field, and the whole titles, artists and albums run together."""

    fields: Mapping[Field, tuple[str, ...]]

    @property
    def wholes(self) -> tuple[str, ...]:
        return tuple(whole(name, words) for name in WHOLE_FIELDS if (words := self.fields[name]))

    def columns(self) -> dict[str, str]:
        """Field -> its words with a space between, and `whole` for the run-together ones."""
        texts: dict[str, str] = {name: " ".join(words) for name, words in self.fields.items()}
        return {**texts, "whole": " ".join(self.wholes)}


def document_of(values: Mapping[str, Any], labels: Iterable[str]) -> Document:
    """The document of a track's own columns and its assigned tags' labels."""
    stem = PurePosixPath(values.get("filename") or "").stem
    return Document(
        {
            "title": tuple(words_of(values.get("title"))),
            "artist": tuple(words_of(values.get("artist"))),
            "album": tuple(words_of(values.get("album"))),
            "genre": tuple(words_of(values.get("genre"))),
            "tags": tuple(words_of(" ".join(sorted(labels)))),
            "filename": tuple(words_of(stem)),
        }
    )


def whole(name: Field, words: Iterable[str]) -> str:
    """A field's words run together, as they are kept and looked up."""
    return (WHOLE_FIELDS[name] + "".join(words))[:MAX_WORD_CHARS]
