"""Towers of a trained network as ONNX graphs, without torch from then on.

Legend: N items, M mel bins, F frames, L tokens, E embedding width.

The audio graph starts at the normalised log-mel: a mel inside the graph gives the same values and
takes seven times as long. Batch and length are free. Batch norms are folded into the convolutions
on the way. Of torch's two exporters the tracing one is used: on these towers both agree with torch
to 1e-7, and it takes one second where the other takes fifteen and writes twice the bytes.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from models.bundle.manifest import WeightStorage
from models.bundle.onnx_towers import MASK_INPUT, MEL_INPUT, OUTPUT, TOKENS_INPUT
from models.networks.muq_mulan import MuQMuLan

OPSET = 18
# Smaller tensors (norms, biases, scales) stay in float32: they weigh nothing and round badly.
SMALLEST_HALVED = 1024
_TRACED_FRAMES = 200


@dataclass(frozen=True)
class ExportedTowers:
    """The bytes of `audio.onnx` and `text.onnx`."""

    audio: bytes
    text: bytes


def export_towers(
    network: MuQMuLan,
    *,
    audio_weights: WeightStorage = "fp32",
    text_weights: WeightStorage = "fp32",
) -> ExportedTowers:
    """Export both towers of a network, which is put into evaluation mode on the CPU.

    `fp16` stores the larger weights at half the size and computes in float32; `int8` quantises
    the linear maps, weights now and activations as they come.
    """
    network = network.eval().cpu()
    mel = torch.zeros(2, network.config.muq.mel.mel_bins, _TRACED_FRAMES)
    tokens = torch.ones(2, 8, dtype=torch.int64)
    audio = _trace(
        network.audio,
        {MEL_INPUT: mel},
        {MEL_INPUT: {0: "clips", 2: "frames"}, OUTPUT: {0: "clips"}},
    )
    text = _trace(
        network.text,
        {TOKENS_INPUT: tokens, MASK_INPUT: tokens},
        {
            TOKENS_INPUT: {0: "texts", 1: "tokens"},
            MASK_INPUT: {0: "texts", 1: "tokens"},
            OUTPUT: {0: "texts"},
        },
    )
    return ExportedTowers(store_weights(audio, audio_weights), store_weights(text, text_weights))


def round_weights(tower: nn.Module, storage: WeightStorage) -> None:
    """Round a tower's large weights as `storage` will keep them, so that both runtimes compute
    with the same values. Only float16 can be undone to the last bit; int8 is left to ONNX.
    """
    if storage != "fp16":
        return
    with torch.no_grad():
        for weight in tower.parameters():
            if weight.numel() >= SMALLEST_HALVED:
                weight.copy_(weight.half().float())


def store_weights(model: bytes, storage: WeightStorage) -> bytes:
    """An ONNX model in float32 with its weights stored another way."""
    if storage == "fp16":
        return _halve(model)
    if storage == "int8":
        return _quantise(model)
    return model


def _trace(module: nn.Module, inputs: dict[str, Tensor], axes: dict[str, dict[int, str]]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tower.onnx"
        _trace_to(target, module, inputs, axes)
        model = onnx.load(target)
    for node in model.graph.node:
        # Paths of the exporting machine do not belong into a published file.
        node.doc_string = ""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _trace_to(
    target: Path, module: nn.Module, inputs: dict[str, Tensor], axes: dict[str, dict[int, str]]
) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        # torch announces that the tracing exporter is the older one, and that the lengths it
        # turned into Python numbers are constants: those are of the traced width, not of axes.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            target,
            input_names=list(inputs),
            output_names=[OUTPUT],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _halve(model: bytes) -> bytes:
    """Keep float32 weights as float16 behind a Cast, which ONNX Runtime undoes when it loads."""
    graph_model = onnx.load_model_from_string(model)
    graph = graph_model.graph
    casts = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALVED:
            continue
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if not np.isfinite(halved).all():
            raise ValueError(f"the weights {tensor.name} do not fit into float16")
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(halved, f"{name}_fp16"))
        casts.append(helper.make_node("Cast", [f"{name}_fp16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(graph_model)
    return bytes(graph_model.SerializeToString())


def _quantise(model: bytes) -> bytes:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph_model = onnx.load_model_from_string(model)
    # Shapes noted during the trace contradict those of the quantised graph.
    del graph_model.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(graph_model, source)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()
