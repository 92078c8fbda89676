"""From a training run to a bundle that serves: the whole chain on a tiny corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models.bundle.calibration import calibration_from_json, fit_calibration
from models.bundle.fitting import labelled_tracks
from models.bundle.from_run import TEXT_LICENCE_FILE, RunToBundle, bundle_from_run, main
from models.bundle.verifying import verify_bundle
from models.errors import BundleError
from models.training.manifest import read_manifest
from models.training.mulan import load_trained_mulan, train_mulan
from models.training.recipes import mulan_tiny
from models.training.settings import override
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tracks=24)


@pytest.fixture(scope="module")
def run(corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mulan"
    settings = [*corpus.data_settings, f"text_folder={corpus.text}"]
    train_mulan(override(mulan_tiny(), settings), folder, "tiny", resume=False)
    return folder


@pytest.fixture
def _six_updates_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short a training need not have pulled unrelated texts apart."""
    monkeypatch.setattr("models.bundle.self_test.MAX_TEXT_COSINE", 1.01)


@pytest.mark.usefixtures("_six_updates_do")
def test_a_run_becomes_a_bundle_with_everything(
    run: Path, corpus: TinyCorpus, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    (corpus.text / "LICENCE.txt").write_text("A licence.")
    order = RunToBundle(run, out, "from-run", "CC0-1.0", results="Heard well.", reference_clips=20)
    manifest = bundle_from_run(order)
    assert verify_bundle(out).runtimes == ("onnx", "torch")
    assert manifest.lineage["recipe"] == "mulan tiny"
    assert manifest.lineage["updates"] == 6
    assert (out / TEXT_LICENCE_FILE).read_text() == "A licence."
    card = (out / "MODEL_CARD.md").read_text()
    for words in (manifest.model_id, "Heard well.", "not calibrated", "| mrr |", "CC0-1.0"):
        assert words in card
    encoder = models.load_bundle(out, device="cpu", threads=1)
    assert 10 < len(encoder.reference) <= 24
    assert encoder.tag_probability(0.5) is None
    network = load_trained_mulan(run).network
    samples = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    with torch.no_grad():
        expected = network.audio(torch.from_numpy(samples[None])).numpy()
    assert np.sum(encoder.embed_clips(samples[None]) * expected) > 0.9999


@pytest.mark.usefixtures("_six_updates_do")
def test_labels_calibrate_it(
    run: Path, corpus: TinyCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six updates teach no music: the fit itself is tested in test_fitting.
    made_up = fit_calibration([0.1, 0.2, 0.7, 0.9], [0, 1, 0, 1], facts={"fitted_on": "ears"})
    monkeypatch.setattr("models.bundle.from_run.calibrate", lambda *_, **__: made_up)
    out = tmp_path / "bundle"
    arguments = [str(run), str(out), "--name", "calibrated", "--licence", "CC0-1.0"]
    main([*arguments, "--labels", str(corpus.manifest), "--reference-clips", "20"])
    calibration = calibration_from_json((out / "calibration.json").read_bytes())
    assert calibration == made_up
    assert "fitted on ears: 4 pairs" in (out / "MODEL_CARD.md").read_text()
    encoder = models.load_bundle(out, device="cpu", threads=1)
    low, high = encoder.tag_probability(0.01), encoder.tag_probability(0.99)
    assert low is not None
    assert high is not None
    assert low < high


@pytest.mark.usefixtures("_six_updates_do")
def test_labelled_tracks_are_decoded_and_embedded(
    run: Path, corpus: TinyCorpus, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    bundle_from_run(RunToBundle(run, out, "plain", "CC0-1.0", reference_clips=10))
    encoder = models.load_bundle(out, device="cpu", threads=1)
    entries = read_manifest(corpus.manifest)
    tracks = list(labelled_tracks(encoder, entries, corpus.manifest.parent, ("genre", "mood")))
    assert len(tracks) == len(entries)
    assert tracks[0].labels == {"genre": entries[0].tags["genre"]}
    assert np.isfinite(tracks[0].embedding.mean).all()
    assert not list(labelled_tracks(encoder, entries, corpus.manifest.parent, ("mood",)))


@pytest.mark.usefixtures("_six_updates_do")
def test_an_existing_folder_is_left_alone(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="exists"):
        bundle_from_run(RunToBundle(run, tmp_path, "from-run", "CC0-1.0"))
