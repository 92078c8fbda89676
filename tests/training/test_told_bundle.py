"""A finished bundle is told sayings: another bundle that hears the same and reads more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import models
from models.bundle.disk import read_manifest
from models.bundle.verifying import verify_bundle
from models.errors import BundleError
from models.training.cli import train_app
from models.training.finetuning.parent import ParentError, open_parent
from models.training.sayings import Saying, the_sayings
from models.training.telling import TellingConfig
from models.training.told_bundle import tell_bundle
from tests.support.make_tiny_bundle import TINY_BUNDLE, sample_clips

# Letters say little about what a text means: only by heart can they be learned.
FEW = TellingConfig(
    piece_width=16, epochs=12, joined=8, batch=64, peak_lr=0.02, weight_decay=0.0,
    piece_drop=0.0, state_drop=0.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def few_sayings(monkeypatch: pytest.MonkeyPatch) -> tuple[Saying, ...]:
    torch.set_num_threads(1)
    few = the_sayings()[::100]
    monkeypatch.setattr("models.training.telling.the_sayings", lambda: few)
    return few


def test_it_hears_the_same_and_reads_what_it_was_told(
    few_sayings: tuple[Saying, ...], tmp_path: Path
) -> None:
    settled = ["a caption that shall stay where it is"]
    manifest = tell_bundle(str(TINY_BUNDLE), tmp_path / "told", settled, FEW)
    assert verify_bundle(tmp_path / "told").runtimes == ("onnx", "torch")
    source = read_manifest(TINY_BUNDLE)
    assert manifest.model_id != source.model_id
    assert manifest.lineage["sayings"]["texts"] == len(few_sayings)
    assert manifest.lineage["sayings"]["source_model_id"] == source.model_id
    before, after = (
        models.load_bundle(path, device="cpu", threads=1)
        for path in (TINY_BUNDLE, tmp_path / "told")
    )
    clips = sample_clips(3)
    heard = np.sum(before.embed_clips(clips) * after.embed_clips(clips), axis=1)
    assert heard.min() > 0.9999
    stays = np.sum(before.embed_text(settled) * after.embed_text(settled))
    # The tiny tokenizer knows letters only, and reads 64 of them.
    said = [s for s in few_sayings if s.collection != "named" and len(s.text) < 50]
    texts, terms = [s.text for s in said], [s.term for s in said]
    wanted = before.embed_text(terms)
    was, is_ = (np.sum(by.embed_text(texts) * wanted, axis=1).mean() for by in (before, after))
    assert is_ > was + 0.05
    assert stays > 0.95
    card = (tmp_path / "told" / "MODEL_CARD.md").read_text()
    assert source.model_id in card
    assert len(after.reference) == len(before.reference)
    again = models.load_bundle(tmp_path / "told", device="cpu", runtime="torch", threads=1)
    np.testing.assert_allclose(again.embed_text(texts[:9]), after.embed_text(texts[:9]), atol=1e-4)


def test_what_was_told_can_be_told_again(tmp_path: Path) -> None:
    tell_bundle(str(TINY_BUNDLE), tmp_path / "once", config=FEW)
    again = tell_bundle(str(tmp_path / "once"), tmp_path / "twice", config=FEW)
    reader = open_parent(str(tmp_path / "twice")).network().text.term_reader
    assert reader is not None
    assert again.lineage["sayings"]["source_model_id"] == read_manifest(tmp_path / "once").model_id


def test_a_folder_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(BundleError):
        tell_bundle(str(TINY_BUNDLE), tmp_path / "there", config=FEW)


def test_other_text_sides_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = open_parent(str(TINY_BUNDLE))
    network = parent.network()
    monkeypatch.setattr("models.training.told_bundle.open_parent", lambda *_: parent)
    object.__setattr__(network.config, "text", object())
    monkeypatch.setattr(type(parent), "network", lambda _: network)
    with pytest.raises(ParentError, match="only sentence embeddings"):
        tell_bundle(str(TINY_BUNDLE), tmp_path / "out", config=FEW)


def test_the_command_makes_one_and_says_what_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.told_bundle.TellingConfig", lambda: FEW)
    out = tmp_path / "told"
    done = CliRunner().invoke(train_app, ["tell", str(TINY_BUNDLE), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert read_manifest(out).model_id in done.output
    assert "epochs of telling: 12 of 12" in done.output
    nowhere = CliRunner().invoke(train_app, ["tell", str(tmp_path / "no-run")])
    assert nowhere.exit_code == 2
