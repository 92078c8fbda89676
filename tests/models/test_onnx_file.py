"""ONNX files that reach outside themselves are refused before they are loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from models.bundle.onnx_file import read_initializers, refuse_external_data
from models.errors import BundleFormatError

TINY = Path(__file__).parent.parent / "data" / "tiny_bundle"


def external_tensor(name: str = "w") -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return tensor


def model_with(nodes: list[onnx.NodeProto], initializers: list[TensorProto]) -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph(nodes, "graph", [value], [result], initializers)
    return bytes(helper.make_model(graph).SerializeToString())


def branch() -> onnx.GraphProto:
    node = helper.make_node("Constant", [], ["c"], value=external_tensor())
    result = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
    return helper.make_graph([node], "branch", [], [result])


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[bytes], Path]:
    def store(content: bytes) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return path

    return store


def test_the_bundles_own_graphs_pass() -> None:
    for name in ("audio.onnx", "text.onnx"):
        refuse_external_data(TINY / name)


def test_weights_are_read_as_the_onnx_package_reads_them() -> None:
    for name in ("audio.onnx", "text.onnx"):
        found = read_initializers(TINY / name)
        expected = onnx.load(TINY / name).graph.initializer
        assert sorted(found) == sorted(tensor.name for tensor in expected)
        for tensor in expected:
            values = numpy_helper.to_array(tensor)
            assert found[tensor.name].dtype == values.dtype
            assert np.array_equal(found[tensor.name], values)


@pytest.mark.parametrize(
    "model",
    [
        model_with([helper.make_node("Add", ["x", "w"], ["y"])], [external_tensor()]),
        model_with([helper.make_node("Constant", [], ["y"], value=external_tensor())], []),
        model_with([helper.make_node("If", ["x"], ["y"], then_branch=branch())], []),
    ],
    ids=["initializer", "constant", "inside a branch"],
)
def test_external_data_are_refused_wherever_they_hide(
    model: bytes, stored: Callable[[bytes], Path]
) -> None:
    with pytest.raises(BundleFormatError, match="another file"):
        refuse_external_data(stored(model))


def test_a_location_without_entries_is_refused_too(stored: Callable[[bytes], Path]) -> None:
    tensor = external_tensor()
    tensor.ClearField("external_data")
    with pytest.raises(BundleFormatError, match="another file"):
        refuse_external_data(stored(model_with([], [tensor])))


@pytest.mark.parametrize("content", [b"\xff" * 50, b"\x3a\xff\xff\xff\x7f", b"PK\x03\x04", b""])
def test_what_is_no_protocol_buffer_is_refused(
    content: bytes, stored: Callable[[bytes], Path]
) -> None:
    with pytest.raises(BundleFormatError, match=r"model\.onnx is"):
        refuse_external_data(stored(content))


def test_endless_nesting_is_refused(stored: Callable[[bytes], Path]) -> None:
    result = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Constant", [], ["c"])], "leaf", [], [result])
    for _ in range(20):
        graph = helper.make_graph(
            [helper.make_node("If", ["x"], ["c"], then_branch=graph)], "branch", [], [result]
        )
    with pytest.raises(BundleFormatError, match="deep"):
        refuse_external_data(stored(bytes(helper.make_model(graph).SerializeToString())))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_either_read_or_refused(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        # Any other exception fails the test.
        with suppress(BundleFormatError):
            refuse_external_data(Path(file.name))
        with suppress(BundleFormatError):
            read_initializers(Path(file.name))
