"""Evaluation: reports against plain definitions, and the whole path on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.training.cli import train_app
from models.training.evaluate import (
    embed_tracks,
    evaluate_set,
    list_labels,
    relevance,
    score_retrieval,
    score_tags,
)
from models.training.evaluation.cli import evaluate_app
from models.training.manifest import read_manifest
from models.training.mel_cache import MelCache
from models.training.metrics import roc_auc
from models.training.scan import split_of
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus, sound, write_wav

_WORDS = ("low", "high", "noise", "pulse")


class OracleEmbedder:
    """Hears what a sound is from its mel, and reads its name: every test must come out perfect."""

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        rows = [[float(word in text) for word in _WORDS] for text in texts]
        return np.asarray(rows, dtype=np.float32)

    def embed_mels(self, mels: np.ndarray) -> np.ndarray:
        rows = []
        for mel in mels:
            bands, loudness = mel.mean(axis=1), mel.mean(axis=0)
            steady = loudness.std() < 0.3
            tonal = bands.max() - np.median(bands) > 1.0
            kind = (0 if bands.argmax() < 30 else 1) if steady and tonal else 2 if steady else 3
            rows.append(np.eye(4)[kind])
        return np.asarray(rows, dtype=np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tracks=8)


def test_an_oracle_is_perfect_and_its_report_is_written(corpus: TinyCorpus) -> None:
    entries, cache = read_manifest(corpus.manifest), MelCache(corpus.cache)
    result = evaluate_set(OracleEmbedder(), cache, entries, "made")
    (genre,) = result.tags
    assert (genre.kind, genre.roc_auc.value, genre.r_precision.value) == ("genre", 1.0, 1.0)
    assert genre.roc_auc.chance == 0.5
    assert genre.average_precision.chance == pytest.approx(0.25)
    assert {line.label: line.tracks for line in genre.labels} == dict.fromkeys(_WORDS, 2)
    assert 0.0 < result.level_cosine <= 1.0
    # Four captions on eight tracks say too little about retrieval; four on four do.
    assert result.text_to_audio is None
    told_apart = evaluate_set(OracleEmbedder(), cache, entries[:4], "made")
    assert told_apart.text_to_audio is not None
    assert told_apart.audio_to_text is not None
    assert told_apart.text_to_audio.recall_1.value == told_apart.audio_to_text.mrr.value == 1.0


def test_a_track_is_the_mean_of_its_windows(tmp_path: Path) -> None:
    from models.training.mel_cache import build_mel_cache
    from tests.training.tiny_corpus import make_entry

    joined = np.concatenate([sound("noise", 10.0, 0), sound("low", 10.0, 1)])
    write_wav(tmp_path / "two.wav", joined)
    entry = make_entry(tmp_path / "two.wav", "two", "test")
    build_mel_cache([entry], tmp_path, tmp_path / "mels")
    vector = embed_tracks(OracleEmbedder(), MelCache(tmp_path / "mels"), [entry])[0]
    np.testing.assert_allclose(vector, [0.5, 0.0, 0.5, 0.0])


def test_tag_figures_follow_from_the_scores(corpus: TinyCorpus) -> None:
    entries = read_manifest(corpus.manifest)
    labels = list_labels(entries, "genre")
    relevant = relevance(entries, "genre", labels)
    scores = np.random.default_rng(0).normal(size=relevant.shape)
    report = score_tags(scores, relevant, "genre", labels, draws=50)
    expected = np.mean([roc_auc(scores[:, i], relevant[:, i]) for i in range(len(labels))])
    assert report.roc_auc.value == pytest.approx(expected)
    assert report.roc_auc.low <= report.roc_auc.value <= report.roc_auc.high


def test_chance_of_retrieval_is_what_random_scores_get() -> None:
    rng = np.random.default_rng(0)
    relevant = np.eye(20, dtype=bool)
    relevant[0, 1] = relevant[1, 0] = True
    report = score_retrieval(rng.normal(size=(20, 20)), relevant, draws=20)
    got = [score_retrieval(rng.normal(size=(20, 20)), relevant, draws=2) for _ in range(60)]
    assert np.mean([g.recall_5.value for g in got]) == pytest.approx(
        report.recall_5.chance, abs=0.03
    )
    assert np.mean([g.mrr.value for g in got]) == pytest.approx(report.mrr.chance, abs=0.02)


def test_commands_train_and_evaluate(corpus: TinyCorpus, tmp_path: Path) -> None:
    runner = CliRunner()
    folder = tmp_path / "run"
    settings = [*corpus.data_settings, f"text_folder={corpus.text}", "optimiser.updates=3",
                "optimiser.warmup_updates=0"]  # fmt: skip
    options = [word for setting in settings for word in ("--set", setting)]
    command = ["mulan", "--recipe", "tiny", "--run", str(folder), *options]
    assert runner.invoke(train_app, command).exit_code == 0
    refused = runner.invoke(train_app, command)
    assert refused.exit_code == 2
    assert "already holds a run" in " ".join(refused.output.split())
    resumed = ["mulan", "--recipe", "tiny", "--run", str(folder), "--resume"]
    more = ["--set", "optimiser.updates=5", "--set", "data.phases.1.until_update=8"]
    assert runner.invoke(train_app, [*resumed, *more]).exit_code == 0
    assert json.loads((folder / "config.json").read_text())["config"]["optimiser"]["updates"] == 5
    assert (folder / "config.replaced-0.json").exists()
    result = runner.invoke(
        evaluate_app,
        ["run", str(folder), "--manifest", str(corpus.manifest), "--cache", str(corpus.cache)],
    )
    assert result.exit_code == 0, result.output
    assert "chance 0.500" in result.output
    report = json.loads((folder / "evaluation" / "report.json").read_text())
    assert report[0]["tags"][0]["kind"] == "genre"
    assert (folder / "evaluation" / "report.png").exists()
    assert "manifest genre ROC-AUC" in (folder / "evaluation" / "report.md").read_text()


def test_a_folder_becomes_a_manifest_and_a_cache(tmp_path: Path) -> None:
    for seed, name in enumerate(("a/one.wav", "a/two.wav", "b/three.wav")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_wav(tmp_path / name, sound("noise", 3.5, seed))
    (tmp_path / "b" / "copy.wav").write_bytes((tmp_path / "a" / "one.wav").read_bytes())
    (tmp_path / "b" / "broken.mp3").write_text("nothing")
    write_wav(tmp_path / "b" / "short.wav", sound("low", 1.0, seed=9))
    runner = CliRunner()
    result = runner.invoke(train_app, ["manifest", str(tmp_path)])
    assert result.exit_code == 0, result.output
    entries = read_manifest(tmp_path / "manifest.jsonl")
    # two.wav and three.wav differ; one.wav and its copy are one track.
    assert sorted(entry.path for entry in entries) == ["a/one.wav", "a/two.wav", "b/three.wav"]
    assert entries[0].split == entries[1].split == split_of("folder:a", 0.1, 0.1)
    assert "the same content" in result.output
    cached = [str(tmp_path / "manifest.jsonl"), str(tmp_path / "mels"), "--processes", "1"]
    assert runner.invoke(train_app, ["cache", *cached]).exit_code == 0
    assert all(entry.sha256 in MelCache(tmp_path / "mels") for entry in entries)
