"""Search cursors: where a page ended, for exactly one query under one model.

Where a hit's score depends on nothing but the hit, a position is the (score, id) of the last hit
given, not a count of hits. Where it also depends on other hits (fused ranks, limits for an artist,
copies), a cursor holds the numbers of all hits given: their differences, a byte or two each. Both
ways tracks that come or go between two pages shift nothing: no hit is repeated and none skipped.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from service.errors import InvalidCursor

MAX_GIVEN = 2_000
"""Hits that a list of given ones may hold; rankings that need one end there."""

_FINGERPRINT_CHARS = 24
_MAX_CURSOR_CHARS = 32_000
_LARGEST_ID = (1 << 63) - 1


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


def encode_given(query_fingerprint: str, hit_ids: Iterable[int]) -> str:
    """An opaque, URL-safe cursor that holds the hits given so far, in no order."""
    packed = bytearray(query_fingerprint.encode())
    last = 0
    for hit_id in sorted(hit_ids):
        _append_varint(packed, hit_id - last)
        last = hit_id
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_given(cursor: str, query_fingerprint: str) -> frozenset[int]:
    """The hits of a cursor made for this same query; InvalidCursor for anything else."""
    if len(cursor) > _MAX_CURSOR_CHARS:
        raise InvalidCursor
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        packed = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    made_for = query_fingerprint.encode()
    if packed[: len(made_for)] != made_for:
        raise InvalidCursor("This cursor belongs to another query; start from page one.")
    hit_ids = set(itertools.accumulate(_varints(packed[len(made_for) :])))
    if len(hit_ids) > MAX_GIVEN or any(hit_id > _LARGEST_ID for hit_id in hit_ids):
        raise InvalidCursor
    return frozenset(hit_ids)


def _append_varint(packed: bytearray, value: int) -> None:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)


def _varints(packed: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield value
            value = shift = 0
        elif shift > 63:
            raise InvalidCursor
    if shift:
        raise InvalidCursor
