"""A text side's second way of reading: what it moves, what it leaves, and that it is exported."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models
from models.bundle.exporting import export_towers, round_weights
from models.bundle.making import BundleFacts, BundleStorage, Extras, make_bundle
from models.bundle.verifying import verify_bundle
from models.networks.config import (
    ConfigError,
    MuQMuLanConfig,
    TermReaderConfig,
    config_from_dict,
    to_dict,
)
from models.networks.muq_mulan import MuQMuLan
from models.networks.term_reader import TermReader
from tests.models.shapes import small_mulan_config
from tests.support.make_tiny_bundle import (
    VOCAB_SIZE,
    make_tiny_network,
    make_tokenizer,
    spread_towers,
)

TOKENS, WIDTH, E = 50, 14, 6
SHAPE = TermReaderConfig(vocab_size=TOKENS, pieces=4, piece_width=3, terms=2, least_kept=0.1)


def made_reader() -> TermReader:
    """Token 7 means the first term, token 8 the second, 9 and 10 are known and mean none."""
    reader = TermReader(SHAPE, WIDTH, E)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.zero_()
        for row, token in enumerate((7, 8, 9, 10), start=1):
            reader.rows[token] = row
            reader.rarity[row] = 1.0
        reader.pieces.weight[1, 0] = reader.pieces.weight[2, 1] = 1.0
        reader.pieces.weight[3, 2] = reader.pieces.weight[4, 2] = 1.0
        reader.of_pieces.weight.copy_(20.0 * torch.eye(3))
        reader.of_state.bias[2] = 5.0
        reader.terms[0, 4] = reader.terms[1, 5] = 1.0
    return reader.eval()


def read(reader: TermReader, *texts: list[int]) -> np.ndarray:
    """Vectors of texts that all lay along the first axis."""
    length = max(len(text) for text in texts)
    ids = torch.tensor([text + [7] * (length - len(text)) for text in texts])
    mask = torch.tensor([[place < len(text) for place in range(length)] for text in texts])
    vectors = torch.zeros(len(texts), E)
    vectors[:, 0] = 1.0
    with torch.no_grad():
        return np.asarray(reader(vectors, torch.zeros(len(texts), WIDTH), ids, mask))


def test_a_text_goes_to_the_terms_that_it_means_and_others_stay() -> None:
    first, both, none, unknown = read(made_reader(), [7, 3], [7, 8], [9, 10], [1, 2, 3])
    assert first[4] > 0.99
    assert both[4] == pytest.approx(both[5], abs=1e-6)
    assert both[4] > 0.65
    for stays in (none, unknown):
        assert stays[0] > 0.999


def test_some_of_its_own_vector_always_stays() -> None:
    kept = TermReader(dataclasses.replace(SHAPE, least_kept=0.5), WIDTH, E)
    kept.load_state_dict(made_reader().state_dict())
    assert read(kept, [7])[0][0] == pytest.approx(2**-0.5, abs=1e-3)


def test_padding_says_nothing() -> None:
    reader = made_reader()
    alone, beside = read(reader, [8])[0], read(reader, [8], [9, 10, 9, 8])[0]
    np.testing.assert_allclose(alone, beside, atol=1e-6)


def test_pieces_may_be_left_out() -> None:
    reader, rows = made_reader(), torch.tensor([[1, 2]])
    with torch.no_grad():
        whole = reader.answers(torch.zeros(1, WIDTH), rows)
        part = reader.answers(torch.zeros(1, WIDTH), rows, torch.tensor([[True, False]]))
    assert whole[0, 0] == whole[0, 1]
    assert part[0, 0] > part[0, 1]


@pytest.mark.parametrize("wrong", [{"pieces": 0}, {"least_kept": 1.5}])
def test_a_shape_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(SHAPE, **wrong)


def test_a_network_without_one_is_as_it_was_and_its_shape_survives_json() -> None:
    config = dataclasses.replace(small_mulan_config(), term_reader=SHAPE)
    assert config_from_dict(MuQMuLanConfig, to_dict(config)) == config
    older = to_dict(small_mulan_config())
    del older["term_reader"]
    assert config_from_dict(MuQMuLanConfig, older) == small_mulan_config()
    assert not any("term_reader" in name for name in MuQMuLan(small_mulan_config()).state_dict())


def _network(tokens: int) -> MuQMuLan:
    """The tiny network of the tests with a reader of random weights and 300 pieces."""
    plain = make_tiny_network()
    spread_towers(plain, make_tokenizer())
    shape = TermReaderConfig(vocab_size=tokens, pieces=300, piece_width=8, terms=150)
    config = dataclasses.replace(plain.config, term_reader=shape)
    network = MuQMuLan(config, text_encoder=plain.text.encoder)
    network.load_state_dict(plain.state_dict(), strict=False)
    reader = network.text.term_reader
    assert reader is not None
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.normal_(generator=random)
        known = torch.randperm(tokens, generator=random)[:300]
        reader.rows[known] = torch.arange(1, 301, dtype=torch.int32)
        reader.rarity[0] = 0.0
        reader.centre.normal_(generator=random)
    return network.eval()


def test_a_bundle_with_one_serves_in_both_runtimes(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_str())
    network = _network(VOCAB_SIZE)
    facts = BundleFacts("with-reader", ("en",), "CC0-1.0", {}, max_text_tokens=64)
    storage = BundleStorage("fp16", "fp16", "shared")
    manifest = make_bundle(
        network, path, tmp_path / "out", facts, Extras(card="# Made in a test"), storage
    )
    assert verify_bundle(tmp_path / "out").runtimes == ("onnx", "torch")
    texts = ["calm piano", "loud metal at night", "a steady beat in a large church"]
    onnx, torch_ = (
        models.load_bundle(tmp_path / "out", device="cpu", runtime=runtime, threads=1).embed_text(
            texts
        )
        for runtime in ("onnx", "torch")
    )
    np.testing.assert_allclose(onnx, torch_, atol=2e-5)
    # It is the reader that was exported, not the map alone.
    reader, network.text.term_reader = network.text.term_reader, None
    bare = export_towers(network, text_weights="fp16").text
    assert reader is not None
    assert len(bare) < (tmp_path / "out" / "text.onnx").stat().st_size - 300 * 8
    assert manifest.runtimes.torch is not None
    assert manifest.runtimes.torch.network["term_reader"]["terms"] == 150


def test_rounding_covers_its_large_weights() -> None:
    network = _network(VOCAB_SIZE)
    round_weights(network.text, "fp16")
    reader = network.text.term_reader
    assert reader is not None
    for weight in (reader.pieces.weight, reader.terms, reader.of_pieces.weight):
        if weight.numel() >= 1024:
            assert torch.equal(weight, weight.half().float())
