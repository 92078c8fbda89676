"""The whole judgement of a bundle, on a tiny one and sounds that are made in a second."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.training.decode import decode_mono
from models.training.evaluation.cli import evaluate_app
from models.training.evaluation.confusion import measure_confusion
from models.training.evaluation.judging import judge_tags
from models.training.evaluation.ranking import judge_both_ways, table_of
from models.training.evaluation.reliability import summarise
from models.training.evaluation.robustness import (
    CHANGES,
    middle,
    mixed_down,
    noisy,
    quieter,
    write_file,
)
from models.training.evaluation.scorers import BundleScorer, TrackVectors
from models.training.evaluation.sets import read_sets
from models.training.manifest import ManifestEntry, write_manifest
from models.training.metrics import average_precision, r_precision, roc_auc
from tests.training.tiny_corpus import make_entry, sound, write_wav

TINY_BUNDLE = Path(__file__).parents[1] / "data" / "tiny_bundle"
WORDS = ("low", "high", "noise", "pulse")
MODEL_ID = json.loads((TINY_BUNDLE / "bundle.json").read_text())["model_id"]


class Oracle:
    """An encoder that reads: a text's vector says which words are in it."""

    name, model_id, tag_templates = "oracle", "oracle", ("{label}",)
    reference = np.eye(4, dtype=np.float32)

    def embed_text(self, texts: list[str]) -> np.ndarray:
        rows = np.array([[float(word in text) for word in WORDS] for text in texts])
        return (rows + 1e-3).astype(np.float32)

    def tag_probability(self, relevance: float) -> float:
        return relevance


def tracks_of(kinds: list[str]) -> list[ManifestEntry]:
    return [
        ManifestEntry(
            id=f"{kind}-{i}", path=f"{i}.wav", duration_s=9.0, split="test", group=f"g{i}",
            source="made", sha256=f"{i:064x}", title=None, artist=None, licence="MIT",
            attribution="", tags={"genre": (kind,)},
        )
        for i, kind in enumerate(kinds)
    ]  # fmt: skip


def oracle_for(entries: list[ManifestEntry], heard: list[str]) -> BundleScorer:
    """An oracle that hears the i-th track as heard[i]."""
    vectors = {
        entry.sha256: np.eye(4, dtype=np.float32)[WORDS.index(kind)]
        for entry, kind in zip(entries, heard, strict=True)
    }
    return BundleScorer(Oracle(), TrackVectors(vectors))  # type: ignore[arg-type]


def test_measures_are_their_definitions_and_the_teacher_stands_beside() -> None:
    kinds = ["low", "high", "noise", "pulse"] * 3
    entries = tracks_of(kinds)
    right = oracle_for(entries, kinds)
    wrong = oracle_for(entries, ["high", "low", "noise", "pulse"] * 3)
    table = judge_tags("made", wrong, right, entries, ("genre",))
    assert table is not None
    scores = wrong.score([(label,) for label in sorted(WORDS)], entries).T
    truth = np.array([[kind == label for label in sorted(WORDS)] for kind in kinds])
    for name, metric in (("roc_auc", roc_auc), ("pr_auc", average_precision),
                         ("r_precision", r_precision)):  # fmt: skip
        expected = np.mean([metric(scores[:, c], truth[:, c]) for c in range(4)])
        found = table.measures[name]
        assert found.bundle.value == pytest.approx(expected)
        assert found.teacher is not None
        assert found.teacher.value == 1.0
        assert found.difference is not None
        assert found.difference.value == pytest.approx(expected - 1.0)
        assert found.difference.high < 0
    assert table.measures["pr_auc"].bundle.chance == pytest.approx(0.25)
    assert table.roc_auc_by_group is not None


def test_a_track_that_says_nothing_about_a_kind_is_not_judged_by_it() -> None:
    entries = tracks_of(["low", "low", "high", "high"])
    silent = [dataclasses.replace(e, id=f"x{i}", sha256=f"{90 + i:064x}", tags={"instrument": (w,)})
              for i, (e, w) in enumerate(zip(entries, ("noise", "noise", "pulse", "pulse"),
                                             strict=True))]  # fmt: skip
    heard = ["low", "low", "high", "high", "noise", "noise", "pulse", "pulse"]
    scorer = oracle_for([*entries, *silent], heard)
    table = judge_tags("made", scorer, None, [*entries, *silent], ("genre", "instrument"))
    assert table is not None
    assert (table.tracks, len(table.labels)) == (8, 4)
    assert table.measures["roc_auc"].bundle.value == 1.0
    assert table.measures["pr_auc"].bundle.chance == 0.5  # two of four, not of eight
    assert judge_tags("made", scorer, None, entries[:2], ("genre",)) is None


def test_tables_of_queries_can_be_joined() -> None:
    entries = tracks_of(list(WORDS))
    scorer = oracle_for(entries, list(WORDS))
    truth = np.eye(4, dtype=bool)
    forward, backward = judge_both_ways("made", scorer, None, WORDS, truth, entries)
    assert forward.measures["recall_1"].bundle.value == 1.0
    assert backward.lines[0].query == "low-0"
    missed = oracle_for(entries, ["high", "low", "noise", "pulse"])
    other, _ = judge_both_ways("made", missed, None, WORDS, truth, entries)
    joined = table_of("all", "made", [*forward.lines, *other.lines])
    assert joined.measures["recall_1"].bundle.value == pytest.approx(6 / 8)
    assert joined.measures["recall_1"].bundle.chance == pytest.approx(1 / 4)
    assert joined.teacher_median_rank is None


def test_confusions_are_counted_and_named() -> None:
    entries = tracks_of(["low", "low", "low", "high", "high"])
    table = measure_confusion(oracle_for(entries, ["low", "high", "high", "high", "high"]),
                              entries, "genre")  # fmt: skip
    assert table is not None
    assert table.labels == ("high", "low")
    assert table.counts == ((2, 0), (2, 1))
    assert table.first_is_right == pytest.approx(3 / 5)
    (worst,) = table.worst
    assert (worst.documented, worst.heard, worst.times, worst.tracks) == ("low", "high", 2, 3)


def test_reliability_by_hand() -> None:
    said = np.array([0.1] * 8 + [0.9] * 8)
    true = np.array([False] * 8 + [True] * 8)
    found = summarise(said, true)
    assert found.expected_error == pytest.approx(0.1)
    assert found.brier == pytest.approx(0.01)
    assert found.brier_of_base_rate == pytest.approx(0.25)
    assert sum(b.pairs for b in found.bins) == 16


def test_changes_do_what_they_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clip = middle(rng.normal(scale=0.2, size=(2, 44_100 * 12)).astype(np.float32))
    assert clip.shape == (2, 441_000)
    assert np.abs(clip).max() < 1
    power = np.mean(clip**2)
    assert np.mean(quieter(clip) ** 2) == pytest.approx(power / 100, rel=1e-4)
    assert np.mean((noisy(clip) - clip) ** 2) == pytest.approx(power / 100, rel=0.02)
    np.testing.assert_allclose(mixed_down(clip)[0], clip.mean(axis=0))
    assert {change.suffix for change in CHANGES} == {".wav", ".mp3"}
    tone = np.sin(2 * np.pi * 440 * np.arange(44_100 * 2) / 44_100).astype(np.float32)[None] * 0.5
    write_file(tmp_path / "a.wav", tone, 44_100, "pcm_s16le", None)
    write_file(tmp_path / "a.mp3", tone, 44_100, "libmp3lame", 64_000)
    plain, lossy = decode_mono(tmp_path / "a.wav"), decode_mono(tmp_path / "a.mp3")
    assert np.sqrt(np.mean(plain**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert np.sqrt(np.mean(lossy[2000:40_000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert (tmp_path / "a.mp3").stat().st_size < 24_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder with a labelled set in two parts, and a demo library."""
    root = tmp_path_factory.mktemp("corpus")
    folder, demo = root / "eval", root / "demo"
    folder.mkdir()
    demo.mkdir()
    entries = []
    for number in range(10):
        path = folder / f"{number}.wav"
        write_wav(path, sound(WORDS[number % 2], 10.5, number))
        entries.append(make_entry(path, WORDS[number % 2], "test"))
    entries = [dataclasses.replace(entry, duration_s=10.5) for entry in entries]
    held = dataclasses.replace(entries[9], tags={"genre": ("high",), "trained_on_by": (MODEL_ID,)})
    write_manifest(folder / "labelled_dev.jsonl", entries[:4])
    write_manifest(folder / "labelled_test.jsonl", [*entries[4:9], held])
    write_wav(demo / "piece.wav", sound("low", 3.0, 99))
    piece = {"file": "piece.wav", "title": "A Piece", "artist": "Ann", "source": "made",
             "licence": "MIT", "attribution": "Ann", "duration_s": 3.0,
             "sha256": make_entry(demo / "piece.wav", "low", "test").sha256}  # fmt: skip
    (demo / "library.json").write_text(json.dumps([piece]))
    return root


def test_test_tracks_stay_closed_and_trained_ones_out(corpus: Path) -> None:
    closed = read_sets(corpus, MODEL_ID, with_test=False)
    assert "labelled_test" not in closed.sets
    opened = read_sets(corpus, MODEL_ID, with_test=True)
    assert [len(opened.get(n)) for n in ("labelled_dev", "labelled_test", "labelled")] == [4, 5, 9]
    assert opened.trained_on == ("9",)
    other = read_sets(corpus, "another", with_test=True)
    assert [len(other.get(n)) for n in ("labelled_test", "labelled_test_common")] == [6, 5]
    assert any("muquery evaluate fetch" in line for line in opened.missing)


def test_a_bundle_is_judged_with_what_is_there(corpus: Path, tmp_path: Path) -> None:
    command = ["bundled", str(TINY_BUNDLE), "--corpus", str(corpus), "--demo",
               str(corpus / "demo"), "--out", str(tmp_path), "--test"]  # fmt: skip
    result = CliRunner().invoke(evaluate_app, command)
    assert result.exit_code == 0, result.output
    assert "not measured for want of" in result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["model_id"] == MODEL_ID
    sets = {table["set"] for table in report["tags"]}
    assert {"labelled_dev", "labelled_test", "labelled"} <= sets
    assert {r["change"] for r in report["robustness"]} == {change.name for change in CHANGES}
    assert all(-1 <= r["cosine"]["value"] <= 1.0001 for r in report["robustness"])
    assert len(report["neighbours"]) == 10
    assert report["speed"]["clip_cpu_ms"] > 0
    page = (tmp_path / "report.md").read_text()
    assert "1 labelled tracks were left out" in page
    assert "| demo library | ragtime | A Piece |" in page
    assert {p.name for p in tmp_path.glob("*.png")} >= {"report.png", "labels-labelled-genre.png"}
    assert (corpus / "eval" / "vectors").is_dir()
