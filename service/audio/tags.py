"""Turning a file's own metadata into clean values: hostile text in, short plain text out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from service.audio.results import AudioTags

MAX_TAG_CHARS = 512
# Read before cleaning, so that a megabyte of lyrics costs nothing.
MAX_RAW_CHARS = 4096

# Our field -> the keys, in order of preference, under which containers store it (lower case).
_KEYS: dict[str, tuple[str, ...]] = {
    "title": ("title",),
    "artist": ("artist", "author", "performer"),
    "album": ("album",),
    "album_artist": ("album_artist", "albumartist", "album artist"),
    "genre": ("genre",),
    # Not creation_time: that is when a tool wrote the file, not when the music came out.
    "year": ("date", "year", "originaldate", "tdor", "tyer"),
}
KNOWN_KEYS = frozenset(key for keys in _KEYS.values() for key in keys)

_YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|20[0-9]{2}|2100)(?!\d)")
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def clean_text(value: str) -> str | None:
    """One line of printable text of at most MAX_TAG_CHARS, or None when nothing is left.

    NUL and other control characters become spaces (ID3v2.4 separates values by NUL; PostgreSQL
    refuses NUL), direction overrides and lone surrogates go, the rest is NFC.
    """
    kept = (_clean_char(char) for char in value[:MAX_RAW_CHARS])
    text = unicodedata.normalize("NFC", " ".join("".join(kept).split()))
    return text[:MAX_TAG_CHARS].rstrip() or None


def _clean_char(char: str) -> str:
    if char in _BIDI_CONTROLS or unicodedata.category(char) in ("Cs", "Cn", "Co"):
        return ""
    return " " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char


def parse_year(value: str) -> int | None:
    """The first plausible year, 1000 to 2100, in a date of any shape; None without one."""
    found = _YEAR.search(value[:MAX_RAW_CHARS])
    return int(found.group()) if found else None


def read_tags(raw: Mapping[str, str]) -> AudioTags:
    """Our fields from a container's tags, whatever the case of its keys."""
    lower = {key.lower(): value for key, value in raw.items()}
    years = (parse_year(lower[key]) for key in _KEYS["year"] if key in lower)
    return AudioTags(
        title=_first(lower, "title"),
        artist=_first(lower, "artist"),
        album=_first(lower, "album"),
        album_artist=_first(lower, "album_artist"),
        genre=_first(lower, "genre"),
        year=next((year for year in years if year is not None), None),
    )


def _first(tags: Mapping[str, str], field: str) -> str | None:
    values = (clean_text(tags[key]) for key in _KEYS[field] if key in tags)
    return next((value for value in values if value is not None), None)
