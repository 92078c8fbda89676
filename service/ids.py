"""Public ids: opaque, unguessable, and sorted by the time at which they were made."""

from __future__ import annotations

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS, _RANDOM_CHARS = 10, 16
_ID = re.compile(f"[0-7][{_ALPHABET}]{{{_TIME_CHARS + _RANDOM_CHARS - 1}}}")


def new_id() -> str:
    """26 characters: 48 bits of milliseconds since 1970, then 80 random bits, in base 32."""
    millis = time.time_ns() // 1_000_000
    return _base32(millis, _TIME_CHARS) + _base32(secrets.randbits(80), _RANDOM_CHARS)


def is_id(text: str) -> bool:
    """Whether the text has the form of an id; says nothing about whether it exists."""
    return _ID.fullmatch(text) is not None


def _base32(value: int, chars: int) -> str:
    digits = []
    for _ in range(chars):
        value, digit = divmod(value, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
