"""Reading ONNX files without the `onnx` package: what lies outside them, and their weights.

An ONNX tensor may say that its values lie in another file, at any path. A bundle's graphs carry
their weights inside; one that does not could read any file of the machine when it is loaded. The
file is a protocol buffer; only the fields that can lead to a tensor are followed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleFormatError
from models.protobuf_wire import read_fields, read_varint

# Fields that hold messages in which a tensor can lie, by message type: number -> type.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
}
_GRAPH_FIELD, _INITIALIZER_FIELD = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14
_DTYPES = {1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}
_MAX_DEPTH = 32


def refuse_external_data(path: Path) -> None:
    """Raise BundleFormatError where a tensor of the ONNX file lies outside of it.

    The same error for bytes that are no protocol buffer, or that nest without end.
    """
    with _mapped(path) as view:
        try:
            _refuse_external(view, "model", path.name, 0)
        except ValueError as error:
            raise BundleFormatError(f"{path.name} is not a readable ONNX file") from error


def read_initializers(path: Path) -> dict[str, NDArray[np.generic]]:
    """The weights of an ONNX file by name, copied; those of rare types are left out.

    Raises BundleFormatError for a file that cannot be read.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    with _mapped(path) as view:
        try:
            for tensor in _messages(view, _GRAPH_FIELD, _INITIALIZER_FIELD):
                name, values = _read_tensor(tensor)
                if values is not None:
                    tensors[name] = values
        except ValueError as error:
            raise BundleFormatError(f"{path.name} is not a readable ONNX file") from error
    return tensors


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """A file's bytes as a view that costs no memory; the map closes with its last view."""
    if path.stat().st_size == 0:
        raise BundleFormatError(f"{path.name} is empty")
    with path.open("rb") as source:
        yield memoryview(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ))


def _refuse_external(message: memoryview, kind: str, name: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise BundleFormatError(f"{name} nests its graphs too deeply")
    children = _CHILDREN.get(kind, {})
    for field, value in read_fields(message):
        if kind == "tensor" and (
            field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)
        ):
            raise BundleFormatError(
                f"{name} keeps weights in another file, which a bundle must not"
            )
        if field in children and isinstance(value, memoryview):
            _refuse_external(value, children[field], name, depth + 1)


def _messages(message: memoryview, *path: int) -> Iterator[memoryview]:
    """The messages that lie at a path of field numbers."""
    for field, value in read_fields(message):
        if field == path[0] and isinstance(value, memoryview):
            if len(path) == 1:
                yield value
            else:
                yield from _messages(value, *path[1:])


def _read_tensor(message: memoryview) -> tuple[str, NDArray[np.generic] | None]:
    name, dtype, shape, raw = "", None, [], None
    for field, value in read_fields(message):
        if field == _DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif field == _DATA_TYPE and isinstance(value, int):
            dtype = _DTYPES.get(value)
        elif field == _NAME and isinstance(value, memoryview):
            name = bytes(value).decode("utf-8")
        elif field == _RAW_DATA and isinstance(value, memoryview):
            raw = value
    if dtype is None or raw is None:
        return name, None
    return name, np.frombuffer(raw, dtype=dtype).reshape(shape).copy()


def _packed(data: memoryview) -> list[int]:
    numbers, position = [], 0
    while position < len(data):
        number, position = read_varint(data, position)
        numbers.append(number)
    return numbers
