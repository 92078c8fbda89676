"""Refuse ONNX files that point outside themselves, without the `onnx` package.

An ONNX tensor may say that its values lie in another file, at any path. A bundle's graphs carry
their weights inside; one that does not could read any file of the machine when it is loaded. The
file is a protocol buffer; only the fields that can lead to a tensor are followed.
"""

from __future__ import annotations

from models.errors import BundleFormatError

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
_EXTERNAL_DATA_FIELD = 13
_DATA_LOCATION_FIELD = 14
_MAX_DEPTH = 32


def refuse_external_data(model: bytes, name: str) -> None:
    """Raise BundleFormatError where a tensor of the ONNX `model` lies outside the file.

    The same error for bytes that are no protocol buffer, or that nest without end.
    """
    try:
        _walk(memoryview(model), "model", name, 0)
    except (IndexError, ValueError) as error:
        raise BundleFormatError(f"{name} is not a readable ONNX file") from error


def _walk(message: memoryview, kind: str, name: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise BundleFormatError(f"{name} nests its graphs too deeply")
    children = _CHILDREN.get(kind, {})
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == 2:
            size, position = _varint(message, position)
            if position + size > len(message):
                raise ValueError("a field reaches past its message")
            if kind == "tensor" and field == _EXTERNAL_DATA_FIELD:
                raise _external(name)
            if field in children:
                _walk(message[position : position + size], children[field], name, depth + 1)
            position += size
        elif wire_type == 0:
            value, position = _varint(message, position)
            if kind == "tensor" and field == _DATA_LOCATION_FIELD and value != 0:
                raise _external(name)
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type}")


def _external(name: str) -> BundleFormatError:
    return BundleFormatError(f"{name} keeps weights in another file, which a bundle must not")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
