"""Folders in the published layout, loaded as bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel

import models
from models.bundle.pins import SOURCE_FILE
from models.bundle.verifying import verify_bundle
from models.checksum import file_sha256
from models.errors import (
    BundleDamagedError,
    BundleFormatError,
    BundleNotFoundError,
    BundleSelfTestError,
    EmptyTextError,
    RuntimeUnavailableError,
    TextTooLongError,
)
from tests.models.golden import TOLERANCE, Golden, golden_roots

WORDS = "calm solo piano aggressive heavy metal with distorted electric guitars and fast drums a"
WORDS += " choir sings slowly in large church techno"


def write_tokenizer(folder: Path) -> None:
    """Words to ids as XLM-R numbers its special tokens: <s> 0, padding 1, </s> 2, unknown 3."""
    names = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(WORDS.split())]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(params=golden_roots(), ids=lambda root: root.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    """A copy of a golden folder with a tokenizer beside its text model."""
    copied = Path(shutil.copytree(request.param, tmp_path / "golden"))
    name = json.loads((copied / "muq-mulan" / "config.json").read_text())["text_model"]["name"]
    write_tokenizer(copied / Path(name).name)
    return Golden(copied)


@pytest.fixture
def no_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random towers may put all texts into one place, which is what the self-test refuses."""
    monkeypatch.setattr("models.bundle.published_bundle.run_self_test", lambda *_, **__: None)


@pytest.mark.usefixtures("no_self_test")
def test_tracks_of_all_lengths_embed_as_published(golden: Golden) -> None:
    encoder = models.load_bundle(golden.root / "muq-mulan", device="cpu", threads=1)
    assert encoder.runtime == "torch"
    for length in golden.suffixes("mulan.wav."):
        track = encoder.embed_track(golden[f"mulan.wav.{length}"].numpy())
        expected = golden[f"mulan.audio.{length}"].numpy()
        assert np.abs(track.mean - expected).max() < TOLERANCE, length


@pytest.mark.usefixtures("no_self_test")
def test_short_clips_embed_as_published_in_a_batch(golden: Golden) -> None:
    encoder = models.load_bundle(golden.root / "muq-mulan", device="cpu", threads=1)
    for length in golden.suffixes("mulan.wav."):
        samples = golden[f"mulan.wav.{length}"].numpy()
        if samples.shape[0] <= encoder.clip_s * encoder.sample_rate_hz:
            vectors = encoder.embed_clips(np.stack([samples, samples * np.float32(0.5)]))
            expected = golden[f"mulan.audio.{length}"].numpy()
            assert np.abs(vectors[0] - expected).max() < TOLERANCE, length


@pytest.mark.usefixtures("no_self_test")
def test_texts_are_tokenized_masked_and_limited(golden: Golden) -> None:
    encoder = models.load_bundle(golden.root / "muq-mulan", device="cpu", threads=1)
    texts = ["calm piano", "techno", "a choir sings slowly in a large church"]
    together = encoder.embed_text(texts)
    alone = np.concatenate([encoder.embed_text([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5
    with pytest.raises(TextTooLongError):
        encoder.embed_text(["techno " * encoder.max_text_tokens])
    with pytest.raises(EmptyTextError):
        encoder.embed_text([" "])


@pytest.mark.usefixtures("no_self_test")
def test_the_identity_follows_weights_and_the_licence_its_source(golden: Golden) -> None:
    folder = golden.root / "muq-mulan"
    first = models.load_bundle(folder, device="cpu", threads=1)
    assert "unknown" in first.licence
    (folder / SOURCE_FILE).write_text(json.dumps({"licence": "CC-BY-NC-4.0"}))
    second = models.load_bundle(folder, device="cpu", threads=1)
    assert second.licence == "CC-BY-NC-4.0"
    assert second.model_id == first.model_id
    assert second.reference.shape == (0, first.embed_dim)
    assert second.tag_probability(0.9) is None
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("audio_to_latents.bias"))
    tensors[name] = tensors[name] + np.float32(1)
    save_file(tensors, folder / "model.safetensors")
    assert models.load_bundle(folder, device="cpu", threads=1).model_id != first.model_id


@pytest.mark.usefixtures("no_self_test")
def test_pulled_models_are_verified_against_their_pins(golden: Golden) -> None:
    folder = golden.root / "muq-mulan"
    with pytest.raises(BundleNotFoundError):
        verify_bundle(folder)
    pins = {"model.safetensors": file_sha256(folder / "model.safetensors")}
    (folder / SOURCE_FILE).write_text(json.dumps({"licence": "X", "files": pins}))
    assert verify_bundle(folder).runtimes == ("torch",)
    pins["model.safetensors"] = "0" * 64
    (folder / SOURCE_FILE).write_text(json.dumps({"licence": "X", "files": pins}))
    with pytest.raises(BundleDamagedError, match=r"model\.safetensors differs"):
        verify_bundle(folder)
    (folder / SOURCE_FILE).write_text(json.dumps({"files": {"config.txt": "0" * 64}}))
    with pytest.raises(BundleDamagedError, match=r"config\.txt is missing"):
        verify_bundle(folder)


def test_towers_that_collapse_do_not_serve(golden: Golden) -> None:
    from safetensors.numpy import load_file, save_file

    folder = golden.root / "muq-mulan"
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("text_to_latents.weight"))
    tensors[name] = tensors[name] * np.float32(0)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BundleSelfTestError, match="collapsed"):
        models.load_bundle(folder, device="cpu", threads=1)


def test_what_is_missing_or_wrong_is_said(golden: Golden) -> None:
    folder = golden.root / "muq-mulan"
    with pytest.raises(RuntimeUnavailableError, match="no ONNX"):
        models.load_bundle(folder, device="cpu", runtime="onnx")
    with pytest.raises(BundleFormatError, match="no text tower"):
        models.load_bundle(golden.root / "muq", device="cpu")
    for path in golden.root.rglob("tokenizer.json"):
        path.unlink()
    with pytest.raises(BundleNotFoundError, match=r"tokenizer\.json"):
        models.load_bundle(folder, device="cpu")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BundleNotFoundError, match=r"model\.safetensors"):
        models.load_bundle(folder, device="cpu")
