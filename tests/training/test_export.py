"""`muquery train export`: bundles and the published layout, from runs, read back."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import models
from models.networks.config import (
    ConformerConfig,
    MelRVQConfig,
    MuQConfig,
)
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan
from models.networks.text_encoder import TextEncoder
from models.published import load_published
from models.training.cli import train_app
from models.training.mulan import MulanRecipe, load_trained_mulan, train_mulan
from models.training.muq import load_muq, train_muq
from models.training.published_export import ExportError, export_published
from models.training.recipes import mulan_tiny, muq_tiny
from models.training.run import RunError
from models.training.settings import override
from tests.training.pretrained_text import SIZES, make_pretrained
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus

# Small, and of the form that the layout can say: 1024 codes of 16, eight books.
NETWORK = MuQConfig(
    conv_dim=4,
    conformer=ConformerConfig(width=16, layers=2, heads=2, feed_forward=32, depthwise_kernel=5),
    head_dim=8 * 1024,
    rvq=MelRVQConfig(stale_tolerance=7),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    corpus = make_tiny_corpus(tmp_path_factory.mktemp("corpus"))
    make_pretrained(corpus.text.parent / "xlm-tiny", corpus.text / "tokenizer.json")
    return corpus


def published_recipe(corpus: TinyCorpus) -> MulanRecipe:
    network = dataclasses.replace(
        mulan_tiny().network, muq=NETWORK, text=SIZES, text_width=12, text_projection=True,
        freeze_text_encoder=False, clip_s=10,
    )  # fmt: skip
    recipe = override(mulan_tiny(), [*corpus.data_settings, "optimiser.updates=2"])
    folder = str(corpus.text.parent / "xlm-tiny")
    return dataclasses.replace(recipe, network=network, text_folder=folder)


@pytest.fixture(scope="module")
def mulan_run(corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mulan"
    train_mulan(published_recipe(corpus), folder, "tiny", resume=False)
    return folder


@pytest.fixture(scope="module")
def muq_run(corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "muq"
    recipe = override(muq_tiny(), [*corpus.data_settings, "optimiser.updates=2"])
    train_muq(dataclasses.replace(recipe, muq=NETWORK), folder, "tiny", resume=False)
    return folder


def test_a_trained_text_encoder_is_in_the_checkpoint(corpus: TinyCorpus, mulan_run: Path) -> None:
    trained = load_trained_mulan(mulan_run)
    fresh = load_pretrained_of(corpus)
    encoder = trained.network.text.encoder
    assert isinstance(encoder, TextEncoder)
    weight = encoder.layers[0].expand.weight  # type: ignore[union-attr,index]
    assert not torch.equal(weight, fresh.layers[0].expand.weight)  # type: ignore[union-attr,index]


def load_pretrained_of(corpus: TinyCorpus) -> TextEncoder:
    from models.text.pretrained import load_pretrained

    return load_pretrained(corpus.text.parent / "xlm-tiny")


def test_a_mulan_run_becomes_the_published_layout(mulan_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "published"
    arguments = ["export", str(mulan_run), str(out), "--layout", "published"]
    result = CliRunner().invoke(train_app, arguments)
    assert result.exit_code == 0, result.output
    assert "read back the same" in result.output
    network, again = load_trained_mulan(mulan_run).network, load_published(out)
    assert isinstance(again, MuQMuLan)
    mels = torch.randn(2, 128, 200, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(again.audio(mels), network.eval().audio(mels))
    assert (out / "xlm-roberta" / "tokenizer.json").is_file()
    assert json.loads((out / "lineage.json").read_text())["stage"] == "mulan"
    refused = CliRunner().invoke(train_app, arguments)
    assert refused.exit_code == 2
    assert "exists" in refused.output


def test_a_muq_run_becomes_the_published_layout(muq_run: Path, tmp_path: Path) -> None:
    export_published(muq_run, tmp_path / "published", checkpoint="best")
    again = load_published(tmp_path / "published")
    assert isinstance(again, MuQ)
    trained = load_muq(muq_run, "best")
    for name, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_checkpoint_that_a_run_lacks_is_refused(
    muq_run: Path, mulan_run: Path, tmp_path: Path
) -> None:
    for run in (muq_run, mulan_run):
        with pytest.raises(RunError, match="no checkpoint 'averaged'"):
            export_published(run, tmp_path / "published", checkpoint="averaged")
    assert not (tmp_path / "published").exists()


def test_what_the_layout_cannot_say_is_refused(corpus: TinyCorpus, tmp_path: Path) -> None:
    recipe = override(muq_tiny(), [*corpus.data_settings, "optimiser.updates=1",
                                   "optimiser.warmup_updates=0"])  # fmt: skip
    train_muq(recipe, tmp_path / "muq", "tiny", resume=False)
    with pytest.raises(ExportError, match="cannot express"):
        export_published(tmp_path / "muq", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    settings = [*corpus.data_settings, f"text_folder={corpus.text}", "optimiser.updates=1",
                "optimiser.warmup_updates=0"]  # fmt: skip
    train_mulan(override(mulan_tiny(), settings), tmp_path / "mulan", "tiny", resume=False)
    with pytest.raises(ExportError, match="export it as a bundle"):
        export_published(tmp_path / "mulan", tmp_path / "out")


def test_a_frozen_encoder_stays_and_a_wrong_shape_is_refused(
    corpus: TinyCorpus, tmp_path: Path
) -> None:
    recipe = published_recipe(corpus)
    frozen = dataclasses.replace(recipe.network, freeze_text_encoder=True, text_projection=True)
    train_mulan(dataclasses.replace(recipe, network=frozen), tmp_path / "run", "tiny", resume=False)
    stored = load_trained_mulan(tmp_path / "run").network.text.encoder.state_dict()
    for name, value in load_pretrained_of(corpus).state_dict().items():
        assert torch.equal(stored[name], value), name
    assert recipe.network.text is not None
    wide = dataclasses.replace(recipe.network.text, layers=2)
    other = dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, text=wide))
    with pytest.raises(ValueError, match="another shape"):
        train_mulan(other, tmp_path / "other", "tiny", resume=False)


def test_a_sentence_encoder_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match="must be frozen"):
        override(mulan_tiny(), ["network.freeze_text_encoder=false"])


def test_a_run_on_a_trained_text_encoder_becomes_a_bundle(
    mulan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two updates need not have pulled unrelated texts apart.
    monkeypatch.setattr("models.bundle.self_test.MAX_TEXT_COSINE", 1.01)
    out = tmp_path / "bundle"
    result = CliRunner().invoke(train_app, ["export", str(mulan_run), str(out)])
    assert result.exit_code == 2
    assert "--licence" in result.output
    arguments = ["export", str(mulan_run), str(out), "--licence", "CC0-1.0"]
    result = CliRunner().invoke(train_app, arguments)
    assert result.exit_code == 0, result.output
    encoder = models.load_bundle(out, device="cpu", threads=1)
    trained = load_trained_mulan(mulan_run)
    tokens = trained.reader.tokenizer.encode(["a low sound"])
    ids, mask = torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask)
    with torch.no_grad():
        expected = trained.network.text_embedding(ids, mask).numpy()
    assert float((encoder.embed_text(["a low sound"]) * expected).sum()) > 0.9999
    assert encoder.max_text_tokens == trained.reader.tokenizer.max_tokens


def interpreter_with_muq() -> str:
    """An interpreter that can import `muq`: this one, or the one that MUQUERY_MUQ_PYTHON names."""
    if importlib.util.find_spec("muq") is not None:
        return sys.executable
    named = os.environ.get("MUQUERY_MUQ_PYTHON", "")
    if not named:
        pytest.skip(
            "THE PUBLISHED PACKAGE WAS NOT TRIED: `muq` is not installed here; set "
            "MUQUERY_MUQ_PYTHON to an interpreter that has it (docs/training.md says how)"
        )
    return named


def test_the_published_package_loads_an_export(mulan_run: Path, tmp_path: Path) -> None:
    """What package `muq` computes with a run of ours, exported, is what we compute."""
    python = interpreter_with_muq()
    out = tmp_path / "published"
    export_published(mulan_run, out)
    audio = torch.randn(2, 240_000, generator=torch.Generator().manual_seed(0)) * 0.1
    texts = ["low sound", "a high pulse and noise"]
    save_file({"audio": audio}, tmp_path / "inputs.safetensors")
    (out / "texts.json").write_text(json.dumps(texts))
    script = Path(__file__).with_name("run_published_package.py")
    arguments = [str(out), str(tmp_path / "inputs.safetensors"), str(tmp_path / "answers")]
    command = [python, "-W", "ignore", str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "answers.json").read_text())
    assert report == {"differing": [], "missing": []}
    answers = load_file(tmp_path / "answers")

    trained = load_trained_mulan(mulan_run)
    network = trained.network.eval()
    with torch.no_grad():
        ours = {
            "muq": network.audio.muq(audio).last_hidden_state,
            "audio": torch.stack([network.audio_embedding(clip) for clip in audio]),
        }
        rows = []
        for text in texts:
            tokens = trained.reader.tokenizer.encode([text])
            ids, mask = torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask)
            rows.append(network.text_embedding(ids, mask))
        ours["text"] = torch.cat(rows)
    for name, expected in ours.items():
        difference = float((answers[name] - expected).abs().max())
        print(f"{name}: largest difference to package muq {difference:.2g}")
        assert difference < 1e-4, name
