"""EnCodec's codes as a target, with a tiny EnCodec of random weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EncodecConfig as PackageConfig
from transformers import EncodecModel
from typer.testing import CliRunner

from models.training.cli import train_app
from models.training.data import open_training_data
from models.training.decode import decode_mono
from models.training.encodec_labels import (
    Encodec,
    EncodecConfig,
    EncodecError,
    label_with_encodec,
)
from models.training.labels import LabelStore
from models.training.muq import load_muq, train_muq
from models.training.recipes import mel_rvq_tiny, muq_tiny, on_encodec
from models.training.settings import override
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus, sound

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Hugging Face's layout: 24 kHz, 75 frames a second, books of 16 codes."""
    folder = tmp_path_factory.mktemp("encodec") / "tiny"
    save_encodec(folder)
    return folder


def save_encodec(folder: Path, **changes: object) -> None:
    """Random weights; the codes of each book are latents of sounds, so that all of them occur."""
    torch.manual_seed(0)
    shape = {
        "target_bandwidths": [0.6, 1.2], "hidden_size": 8, "num_filters": 2, "codebook_size": 16,
        "codebook_dim": 8, "num_lstm_layers": 1, **changes,
    }  # fmt: skip
    model = EncodecModel(PackageConfig(**shape)).eval()
    heard = np.concatenate([sound(kind, 2.0, 7) for kind in ("pulse", "noise", "low")])
    samples = torch.from_numpy(heard.astype(np.float32))
    with torch.no_grad():
        left = model.encoder(samples.expand(1, model.config.audio_channels, -1))
        for layer in model.quantizer.layers:
            picked = torch.randperm(left.shape[2])[: model.config.codebook_size]
            layer.codebook.embed.copy_(left[0].T[picked])
            left = left - layer.decode(layer.encode(left))
    model.save_pretrained(folder)


def test_every_third_frame_is_a_token(weights: Path) -> None:
    encodec = Encodec(EncodecConfig(str(weights), codebooks=2), CPU)
    samples = sound("pulse", 1.03, 1).astype(np.float32)
    codes = encodec.codes(samples)
    assert codes.shape == (25, 2)
    model = EncodecModel.from_pretrained(weights).eval()
    with torch.no_grad():
        whole = model.encode(torch.from_numpy(samples[: 25 * 960])[None, None], bandwidth=0.6)
    frames = whole.audio_codes[0, 0].T.numpy()
    assert frames.shape == (75, 2)
    np.testing.assert_array_equal(codes, frames[::3])
    assert len(np.unique(codes)) > 4


def test_the_least_bandwidth_with_enough_codebooks_is_taken(weights: Path) -> None:
    few, more = (Encodec(EncodecConfig(str(weights), codebooks=n), CPU) for n in (2, 4))
    samples = sound("low", 1.0, 2).astype(np.float32)
    assert more.codes(samples).shape == (25, 4)
    np.testing.assert_array_equal(more.codes(samples)[:, :2], few.codes(samples))
    with pytest.raises(EncodecError, match="fewer than 5 codebooks"):
        Encodec(EncodecConfig(str(weights), codebooks=5), CPU)


def test_segments_hardly_change_the_codes(weights: Path) -> None:
    samples = sound("noise", 6.0, 3).astype(np.float32)
    whole = Encodec(EncodecConfig(str(weights), 2, segment_s=30.0), CPU).codes(samples)
    cut = Encodec(EncodecConfig(str(weights), 2, segment_s=2.0), CPU).codes(samples)
    assert whole.shape == cut.shape == (150, 2)
    # Sums of another order tip codes over that lie between two; behind a border the LSTM has a
    # second to remember from, not all of the track.
    assert (whole[:50] == cut[:50]).mean() > 0.95
    assert (whole == cut).mean() > 0.9
    shifted = (whole[1:] == cut[:-1]).mean()
    assert shifted < 0.5


def test_labels_cover_the_corpus_and_resume(
    corpus: TinyCorpus, weights: Path, tmp_path: Path
) -> None:
    data = open_training_data(override(mel_rvq_tiny(), corpus.data_settings).data)
    config = EncodecConfig(str(weights), codebooks=2)
    root = corpus.manifest.parent
    assert label_with_encodec(config, data, root, tmp_path, CPU) == 12
    assert label_with_encodec(config, data, root, tmp_path, CPU) == 0
    # As if the process had been killed behind the seventh track, in the middle of the eighth.
    index = (tmp_path / "index.jsonl").read_text().splitlines()
    whole = (tmp_path / "labels.bin").read_bytes()
    (tmp_path / "index.jsonl").write_text("\n".join(index[:7]) + "\n")
    assert label_with_encodec(config, data, root, tmp_path, CPU) == 5
    assert (tmp_path / "labels.bin").read_bytes() == whole
    store = LabelStore(tmp_path)
    entry = data.entries[3]
    tokens = data.cache.frames(entry.sha256) // 4
    read = store.read([entry.sha256], np.array([0]), 4 * tokens)
    expected = Encodec(config, CPU).codes(decode_mono(root / entry.path))
    np.testing.assert_array_equal(read[0].T.numpy(), expected)
    with pytest.raises(ValueError, match="labels of another kind"):
        label_with_encodec(EncodecConfig(str(weights), 4), data, root, tmp_path, CPU)


def test_muq_learns_the_codes(corpus: TinyCorpus, weights: Path, tmp_path: Path) -> None:
    recipe = on_encodec(muq_tiny(), EncodecConfig(str(weights), codebooks=2), codebook_size=16)
    recipe = override(recipe, corpus.data_settings)
    run = tmp_path / "run"
    train_muq(recipe, run, "tiny_encodec", resume=False)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "valid"
    assert 0 < last["loss"] < np.log(16) + 1
    assert {"book_accuracy.0", "book_accuracy.1"} <= last.keys()
    assert (run / "labels" / "labels.bin").stat().st_size > 0
    assert load_muq(run).rvq is None
    longer = override(recipe, ["optimiser.updates=8"])
    assert train_muq(longer, run, "tiny_encodec", resume=True).state.update == 8


def test_what_is_missing_is_said(
    corpus: TinyCorpus, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["muq", "--recipe", "small_encodec", "--run", str(tmp_path / "run")]
    command += [f"--set={setting}" for setting in corpus.data_settings]
    result = CliRunner().invoke(train_app, [*command, "--set", "encodec.folder=nowhere"])
    assert result.exit_code == 2
    assert "config.json is missing" in " ".join(result.output.split())
    assert not (tmp_path / "run" / "config.json").exists()
    monkeypatch.setitem(sys.modules, "transformers", None)
    result = CliRunner().invoke(train_app, [*command, "--set", f"encodec.folder={weights}"])
    assert result.exit_code == 2
    assert 'pip install "muquery[encodec]"' in " ".join(result.output.split())


def test_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    save_encodec(tmp_path / "stereo", audio_channels=2)
    with pytest.raises(EncodecError, match="2 channels at 24000 Hz"):
        Encodec(EncodecConfig(str(tmp_path / "stereo")), CPU)
    save_encodec(tmp_path / "odd", upsampling_ratios=[7, 5, 4, 2])
    with pytest.raises(EncodecError, match="do not divide"):
        Encodec(EncodecConfig(str(tmp_path / "odd")), CPU)
    with pytest.raises(ValueError, match="make no sense"):
        EncodecConfig(codebooks=0)
