"""Read the float tensors of a TensorFlow (V2) checkpoint without TensorFlow.

A checkpoint is an index file and a data file. The index is a LevelDB table: blocks of sorted,
prefix-compressed keys (variable names) whose values say where in the data file a tensor lies.
Published files have uncompressed blocks and one data shard; anything else is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.protobuf_wire import as_bytes, as_int, read_fields, read_varint

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_FLOAT32 = 1
_SHAPE, _SHARD, _OFFSET, _SIZE = 2, 3, 4, 5


def read_tf_checkpoint(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """All float32 variables by name; ValueError where the files are not such a checkpoint."""
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, value in _table_entries(index):
        entry = dict(read_fields(value))
        if not name or entry.get(1) != _FLOAT32:  # the empty name holds the table's header
            continue
        if entry.get(_SHARD, 0) != 0:
            raise ValueError("the checkpoint has more than one data file")
        offset, size = as_int(entry.get(_OFFSET, 0)), as_int(entry.get(_SIZE, 0))
        shape = _shape(as_bytes(entry.get(_SHAPE, b"")))
        values = np.frombuffer(data[offset : offset + size], dtype="<f4")
        tensors[name.decode()] = values.reshape(shape)
    return tensors


def _shape(message: bytes) -> tuple[int, ...]:
    dims = [as_bytes(value) for number, value in read_fields(message) if number == 2]
    return tuple(as_int(dict(read_fields(dim)).get(1, 0)) for dim in dims)


def _table_entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(table) < _FOOTER_BYTES or struct.unpack("<Q", table[-8:])[0] != _MAGIC:
        raise ValueError("not a TensorFlow checkpoint index")
    footer = table[-_FOOTER_BYTES:]
    _, after_meta_index = _block_handle(footer, 0)
    index_block, _ = _block_handle(footer, after_meta_index)
    for _, handle in _block_entries(table, *index_block):
        block, _ = _block_handle(handle, 0)
        yield from _block_entries(table, *block)


def _block_handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """A block's (offset, size), and the position behind the handle."""
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (offset, size), position


def _block_entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if table[offset + size] != 0:
        raise ValueError("the checkpoint index is compressed")
    block = table[offset : offset + size]
    restarts = struct.unpack("<I", block[-4:])[0]
    end = size - 4 * (restarts + 1)
    key, position = b"", 0
    while position < end:
        shared, position = read_varint(block, position)
        own, position = read_varint(block, position)
        length, position = read_varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + length]
        position += length
