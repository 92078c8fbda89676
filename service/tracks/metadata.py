"""Metadata fit for both databases: PostgreSQL refuses what SQLite takes without a word.

NUL and lone surrogates cannot be stored there, over-long strings raise, and NaN is no JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from unicodedata import category

from sqlalchemy import String

from service.database.tables import Track
from service.errors import InvalidRequest

EDITABLE = ("title", "artist", "album", "genre", "year", "licence", "attribution", "extra")
FILENAME_CHARS = 255
_EXTRA_DEPTH = 8
_UNFIT = ("Cc", "Cs")  # control characters and lone surrogates


def clean_text(text: str, max_chars: int) -> str | None:
    """The text without control characters and outer blanks, cut to length; None when empty."""
    kept = "".join(char for char in text if char in "\n\t" or category(char) not in _UNFIT)
    return kept.strip()[:max_chars].strip() or None


def clean_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Editable fields ready to be stored; a None clears a field.

    Raises InvalidRequest for a field that cannot be edited or a value of the wrong type.
    """
    unknown = sorted(set(values) - set(EDITABLE))
    if unknown:
        raise InvalidRequest("These fields cannot be changed.", fields=unknown)
    return {name: _clean_value(name, value) for name, value in values.items()}


def clean_filename(name: str) -> str:
    """The last part of a client's file name, for display alone; "unnamed" when nothing is left."""
    last = PurePosixPath(PureWindowsPath(name.replace("\x00", "")).name).name
    stem, dot, suffix = last.rpartition(".")
    if dot and len(suffix) <= 10 and len(last) > FILENAME_CHARS:
        last = stem[: FILENAME_CHARS - len(suffix) - 1] + dot + suffix
    return clean_text(last, FILENAME_CHARS) or "unnamed"


def _clean_value(name: str, value: Any) -> Any:
    if name == "extra":
        return _clean_json(value if value is not None else {}, _EXTRA_DEPTH)
    if value is None:
        return None
    if name == "year":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 9999:
            raise InvalidRequest("A year lies between 0 and 9999.", field=name)
        return value
    if not isinstance(value, str):
        raise InvalidRequest("This field is a text.", field=name)
    return clean_text(value, _max_chars(name))


def _max_chars(name: str) -> int:
    column_type = Track.__table__.c[name].type
    assert isinstance(column_type, String)
    assert column_type.length is not None
    return column_type.length


def _clean_json(value: Any, depth: int) -> Any:
    if depth == 0:
        raise InvalidRequest("The extra fields are nested too deeply.", field="extra")
    if isinstance(value, Mapping):
        return {_clean_key(key): _clean_json(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean_json(item, depth - 1) for item in value]
    if isinstance(value, str):
        return clean_text(value, len(value)) or ""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest("The extra fields hold a number that JSON has not.", field="extra")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise InvalidRequest("The extra fields must be JSON.", field="extra")


def _clean_key(key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidRequest("The extra fields must be JSON.", field="extra")
    return clean_text(key, len(key)) or ""
