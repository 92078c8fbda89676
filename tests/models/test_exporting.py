"""Torch to ONNX and back into a bundle, with every way of keeping weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

import models
from models.bundle.disk import read_manifest
from models.bundle.exporting import export_towers, store_weights
from models.bundle.making import BundleFacts, BundleStorage, Extras, amend_bundle, make_bundle
from models.bundle.manifest import WeightStorage
from models.bundle.torch_towers import unpack_network
from models.bundle.verifying import verify_bundle
from models.errors import BundleFormatError, BundleSelfTestError, RuntimeUnavailableError
from models.networks.config import TextEncoderConfig
from models.networks.muq_mulan import MuQMuLan
from models.text.ngram_encoder import NgramTextEncoder
from models.text.pooled_backbone import PooledBackbone
from tests.support.make_tiny_bundle import (
    TINY_BUNDLE,
    make_tiny_network,
    make_tokenizer,
    sample_clips,
    spread_towers,
)

FACTS = BundleFacts("made", ("en",), "Apache-2.0", {}, max_text_tokens=64)
CARD = Extras(card="# Made in a test")
TEXTS = ["calm piano", "loud metal at night", "静か", "techno with a steady beat in a large church"]


@pytest.fixture(scope="module")
def tokenizer() -> bytes:
    return bytes(make_tokenizer().to_str().encode())


@pytest.fixture(scope="module")
def network() -> MuQMuLan:
    spec = read_manifest(TINY_BUNDLE).runtimes.torch
    assert spec is not None
    return unpack_network(spec, TINY_BUNDLE)


def run(model: bytes, feeds: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, feeds)[0]
    return result


@pytest.mark.parametrize(("batch", "frames"), [(1, 1000), (3, 600), (2, 1), (1, 997), (5, 130)])
def test_the_audio_graph_takes_any_batch_and_length(
    network: MuQMuLan, batch: int, frames: int
) -> None:
    mel = torch.randn(batch, 128, frames)
    with torch.no_grad():
        expected = network.audio(mel).numpy()
    found = run(export_towers(network).audio, {"mel": mel.numpy()})
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(("texts", "tokens"), [(1, 3), (4, 11), (2, 64)])
def test_the_text_graph_takes_any_batch_and_length(
    network: MuQMuLan, texts: int, tokens: int
) -> None:
    ids = torch.randint(0, 400, (texts, tokens))
    mask = (torch.arange(tokens)[None] < torch.randint(1, tokens + 1, (texts, 1))).long()
    with torch.no_grad():
        expected = network.text(ids, mask).numpy()
    found = run(export_towers(network).text, {"token_ids": ids.numpy(), "mask": mask.numpy()})
    assert np.abs(found - expected).max() < 1e-5


def test_a_graph_names_no_path_of_the_machine_that_made_it(network: MuQMuLan) -> None:
    towers = export_towers(network)
    for model in (towers.audio, towers.text):
        assert str(Path(__file__).parents[2]).encode() not in model


def test_batch_norms_of_convolutions_are_folded(network: MuQMuLan) -> None:
    graph = onnx.load_model_from_string(export_towers(network).audio).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


@pytest.mark.parametrize(("storage", "floor"), [("fp16", 0.99999), ("int8", 0.99)])
def test_smaller_weights_stay_close(
    network: MuQMuLan, storage: WeightStorage, floor: float
) -> None:
    towers = export_towers(network)
    stored = store_weights(towers.audio, storage)
    assert len(stored) < len(towers.audio)
    mel = torch.randn(1, 128, 400).numpy()
    cosine = np.sum(run(stored, {"mel": mel}) * run(towers.audio, {"mel": mel}))
    assert cosine > floor


def test_weights_that_float16_cannot_hold_are_refused(network: MuQMuLan) -> None:
    model = onnx.load_model_from_string(export_towers(network).audio)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.size >= 1024 and values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1e9), tensor.name))
    with pytest.raises(ValueError, match="float16"):
        store_weights(bytes(model.SerializeToString()), "fp16")


@pytest.mark.parametrize(
    "storage",
    [
        BundleStorage("fp32", "fp32", "none"),
        BundleStorage("fp32", "fp32", "shared"),
        BundleStorage("fp16", "fp16", "full"),
        BundleStorage("fp16", "fp16", "shared"),
        BundleStorage("fp32", "int8", "shared"),
    ],
    ids=lambda s: f"{s.audio_weights}-{s.text_weights}-{s.torch_weights}",
)
def test_a_bundle_runs_alike_in_all_its_runtimes(
    network: MuQMuLan, tokenizer: bytes, storage: BundleStorage, tmp_path: Path
) -> None:
    out = tmp_path / "made"
    manifest = make_bundle(network, tokenizer, out, FACTS, CARD, storage)
    report = verify_bundle(out)
    assert report.model_id == manifest.model_id
    onnx_encoder = models.load_bundle(out, device="cpu", runtime="onnx", threads=1)
    if storage.torch_weights == "none":
        assert report.runtimes == ("onnx",)
        with pytest.raises(RuntimeUnavailableError, match="no torch weights"):
            models.load_bundle(out, device="cpu", runtime="torch")
        return
    torch_encoder = models.load_bundle(out, device="cpu", runtime="torch", threads=1)
    floor = 0.99 if "int8" in (storage.audio_weights, storage.text_weights) else 0.99999
    clips = sample_clips(2)
    for left, right in (
        (onnx_encoder.embed_clips(clips), torch_encoder.embed_clips(clips)),
        (onnx_encoder.embed_text(TEXTS), torch_encoder.embed_text(TEXTS)),
    ):
        assert np.sum(left * right, axis=1).min() > floor


def test_shared_weights_are_kept_once(network: MuQMuLan, tokenizer: bytes, tmp_path: Path) -> None:
    sizes = {}
    for kind in ("full", "shared"):
        out = tmp_path / kind
        make_bundle(network, tokenizer, out, FACTS, CARD, BundleStorage(torch_weights=kind))  # type: ignore[arg-type]
        sizes[kind] = (out / "model.safetensors").stat().st_size
    assert sizes["shared"] < 0.6 * sizes["full"]
    shared = read_manifest(tmp_path / "shared").runtimes.torch
    assert shared is not None
    assert any(place.transposed for place in shared.shared.values())
    assert any("embedding.codes" in name for name in shared.shared)


def test_shared_weights_that_are_gone_are_named(
    network: MuQMuLan, tokenizer: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "made"
    make_bundle(network, tokenizer, out, FACTS, CARD, BundleStorage(torch_weights="shared"))
    spec = read_manifest(out).runtimes.torch
    assert spec is not None
    name, place = next(iter(spec.shared.items()))
    broken = {**spec.shared, name: place.model_copy(update={"initializer": "nothing"})}
    with pytest.raises(BundleFormatError, match="no weights 'nothing'"):
        unpack_network(spec.model_copy(update={"shared": broken}), out)
    with pytest.raises(BundleFormatError, match="does not fit"):
        unpack_network(spec.model_copy(update={"shared": {}}), out)


def test_sentence_embeddings_as_a_backbone_survive(
    network: MuQMuLan, tokenizer: bytes, tmp_path: Path
) -> None:
    import copy

    pooled = copy.deepcopy(network)
    assert isinstance(pooled.text.encoder, NgramTextEncoder)
    pooled.text.encoder = PooledBackbone(pooled.text.encoder)
    manifest = make_bundle(pooled, tokenizer, tmp_path / "pooled", FACTS, CARD)
    assert manifest.runtimes.torch is not None
    assert manifest.runtimes.torch.text_encoder is not None
    assert manifest.runtimes.torch.text_encoder["pooled"] is True
    loaded = models.load_bundle(tmp_path / "pooled", device="cpu", runtime="torch", threads=1)
    plain = models.load_bundle(TINY_BUNDLE, device="cpu", runtime="torch", threads=1)
    assert np.sum(loaded.embed_text(TEXTS) * plain.embed_text(TEXTS), axis=1).max() < 0.99


def test_the_networks_own_text_encoder_is_bundled_too(tokenizer: bytes, tmp_path: Path) -> None:
    import dataclasses

    base = make_tiny_network().config
    text = TextEncoderConfig(
        vocab_size=400, width=32, layers=2, heads=2, feed_forward=64, max_positions=70
    )
    torch.manual_seed(3)
    made = MuQMuLan(dataclasses.replace(base, text=text))
    spread_towers(made, make_tokenizer(), clips=40)
    out = tmp_path / "made"
    make_bundle(made, tokenizer, out, FACTS, CARD, BundleStorage(torch_weights="shared"))
    assert verify_bundle(out).runtimes == ("onnx", "torch")


def test_making_leaves_the_network_as_it_was(
    network: MuQMuLan, tokenizer: bytes, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    storage = BundleStorage("fp16", "fp16", "shared")
    make_bundle(network, tokenizer, tmp_path / "made", FACTS, CARD, storage)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_collapsed_network_makes_no_bundle(tokenizer: bytes, tmp_path: Path) -> None:
    collapsed = make_tiny_network()
    with torch.no_grad():
        collapsed.text.to_embedding.weight.zero_()
    with pytest.raises(BundleSelfTestError, match="collapsed"):
        make_bundle(collapsed, tokenizer, tmp_path / "made", FACTS, CARD)
    assert not (tmp_path / "made").exists()


def test_amending_keeps_the_identity(network: MuQMuLan, tokenizer: bytes, tmp_path: Path) -> None:
    out = tmp_path / "made"
    made = make_bundle(network, tokenizer, out, FACTS, CARD)
    reference = models.load_bundle(out, threads=1, device="cpu").embed_clips(sample_clips(3))
    (out / "MODEL_CARD.md").write_text("edited by hand")
    amended = amend_bundle(out, Extras(reference=reference), licence="MIT")
    assert amended.model_id == made.model_id
    assert amended.licence == "MIT"
    assert (out / "MODEL_CARD.md").read_text() == "edited by hand"
    loaded = models.load_bundle(out, device="cpu", threads=1)
    assert loaded.reference == pytest.approx(reference, abs=1e-3)
    assert verify_bundle(out).notes == ()
