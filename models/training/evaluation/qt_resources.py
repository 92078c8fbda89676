"""Read a Qt resource file (.rcc): a tree of names over plain or zlib-compressed contents.

magic "qres", version, offsets of tree, data and names; all numbers big-endian
a node: name offset, flags, then children (count, first) or (territory, language, data offset)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_MAGIC = b"qres"
_COMPRESSED, _FOLDER, _ZSTD = 1, 2, 4
# Version 2 adds a time of change to every node.
_NODE_BYTES = {1: 14, 2: 22, 3: 22}


class QtResourceError(ValueError):
    """The bytes are no resource file, or hold what is not read here."""


def read_member(content: bytes, path: str) -> bytes:
    """Return one member's bytes; QtResourceError where it is missing or packed otherwise."""
    tree, data, names, node_bytes = _header(content)
    for found, node in _walk(content, tree, names, node_bytes, 0, ""):
        if found == path:
            return _content(content, data, node)
    raise QtResourceError(f"no member {path!r}")


def list_members(content: bytes) -> list[str]:
    """List the paths of all members."""
    tree, _, names, node_bytes = _header(content)
    return [path for path, _ in _walk(content, tree, names, node_bytes, 0, "")]


def _header(content: bytes) -> tuple[int, int, int, int]:
    if content[:4] != _MAGIC or len(content) < 20:
        raise QtResourceError("not a Qt resource file")
    version, tree, data, names = struct.unpack_from(">4I", content, 4)
    if version not in _NODE_BYTES:
        raise QtResourceError(f"version {version} is not known")
    return tree, data, names, _NODE_BYTES[version]


def _walk(
    content: bytes, tree: int, names: int, node_bytes: int, index: int, folder: str
) -> Iterator[tuple[str, int]]:
    node = tree + index * node_bytes
    name_offset, flags = struct.unpack_from(">IH", content, node)
    # The root has no name.
    path = f"{folder}/{_name(content, names + name_offset)}".lstrip("/") if index else ""
    if not flags & _FOLDER:
        yield path, node
        return
    count, first = struct.unpack_from(">II", content, node + 6)
    for child in range(first, first + count):
        yield from _walk(content, tree, names, node_bytes, child, path)


def _name(content: bytes, offset: int) -> str:
    (length,) = struct.unpack_from(">H", content, offset)
    return content[offset + 6 : offset + 6 + 2 * length].decode("utf-16-be")


def _content(content: bytes, data: int, node: int) -> bytes:
    (flags,) = struct.unpack_from(">H", content, node + 4)
    (offset,) = struct.unpack_from(">I", content, node + 10)
    (size,) = struct.unpack_from(">I", content, data + offset)
    packed = content[data + offset + 4 : data + offset + 4 + size]
    if flags & _ZSTD:
        raise QtResourceError("a member is packed with zstd, which is not read here")
    # The first four bytes of a compressed member are its unpacked size.
    return zlib.decompress(packed[4:]) if flags & _COMPRESSED else packed
