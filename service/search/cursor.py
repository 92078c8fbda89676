"""Search cursors: where a page ended, for exactly one query under one model.

A position is the (score, id) of the last hit given, not a count of hits. So tracks that come or
go between two pages shift nothing: no hit is repeated and none is skipped.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from service.errors import InvalidCursor

_FINGERPRINT_CHARS = 24


@dataclass(frozen=True)
class Position:
    """The last hit of a page: its exact score, its vector id, and how many hits came so far."""

    score: float
    vector_id: int
    rank: int


def fingerprint(query: Any) -> str:
    """A short name for everything that decides the order of hits; `query` is JSON-serialisable."""
    canonical = json.dumps(query, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_FINGERPRINT_CHARS]


def encode_cursor(query_fingerprint: str, position: Position) -> str:
    """An opaque, URL-safe cursor; the score keeps every bit."""
    fields = [query_fingerprint, position.score.hex(), position.vector_id, position.rank]
    text = json.dumps(fields, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, query_fingerprint: str) -> Position:
    """The position in a cursor made for this same query; InvalidCursor for anything else."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        fields = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        made_for, score, vector_id, rank = fields
        position = Position(float.fromhex(score), int(vector_id), int(rank))
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidCursor from None
    if not (math.isfinite(position.score) and position.rank >= 0):
        raise InvalidCursor
    if made_for != query_fingerprint:
        raise InvalidCursor("This cursor belongs to another query; start from page one.")
    return position
