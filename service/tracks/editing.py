"""How a track's fields are changed, one track or many at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm.attributes import flag_modified

from service.database.tables import Track

MAX_EXTRA_CHARS = 32_000
"""Of a track's `extra` as JSON."""


def set_fields(track: Track, values: Mapping[str, Any]) -> None:
    """Set cleaned values; `extra` is replaced as a whole."""
    for name, value in values.items():
        if name == "extra":
            _set_extra(track, value)
        else:
            setattr(track, name, value)


def merge_extra(track: Track, changes: Mapping[str, Any]) -> bool:
    """Set the given keys, remove those that are None; False, and nothing done, for too much."""
    kept = {key: value for key, value in track.extra.items() if key not in changes}
    given = {key: value for key, value in changes.items() if value is not None}
    merged = kept | given
    if len(json.dumps(merged)) > MAX_EXTRA_CHARS:
        return False
    _set_extra(track, merged)
    return True


def _set_extra(track: Track, extra: dict[str, Any]) -> None:
    """Python takes 1 and true for the same, and SQLAlchemy would leave the one where it was."""
    if json.dumps(extra, sort_keys=True) != json.dumps(track.extra, sort_keys=True):
        flag_modified(track, "extra")
        track.extra = extra
