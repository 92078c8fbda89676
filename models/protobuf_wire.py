"""The wire format of protocol buffers, as far as reading foreign weight files needs it.

A memoryview goes as well as bytes: its fields are views, so that large files are not copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

Buffer = TypeVar("Buffer", bytes, memoryview)

_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
_MOST_VARINT_BITS = 63


def read_fields(data: Buffer) -> Iterator[tuple[int, int | Buffer]]:
    """Field numbers and raw values of one message: integers for varints, bytes for the rest."""
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = read_varint(data, position)
            yield tag >> 3, value
            continue
        if kind == _SIZED:
            size, position = read_varint(data, position)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if position + size > len(data):
            raise ValueError("the message ends inside a field")
        yield tag >> 3, data[position : position + size]
        position += size


def read_varint(data: Buffer, position: int) -> tuple[int, int]:
    """The integer at `position` and the position behind it; ValueError at the end of the data."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > _MOST_VARINT_BITS:
            raise ValueError("a number is longer than 64 bits")
    raise ValueError("the message ends inside a number")


def as_bytes(value: int | bytes) -> bytes:
    """A field that must not be an integer."""
    if not isinstance(value, bytes):
        raise ValueError("a field holds a number where bytes were expected")
    return value


def as_int(value: int | bytes) -> int:
    """A field that must be a varint."""
    if not isinstance(value, int):
        raise ValueError("a field holds bytes where a number was expected")
    return value
