"""Probing: targets, chunks and figures by hand, and the whole path on sounds that can be told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.training.evaluation.cli import evaluate_app
from models.training.evaluation.probing.features import Features, cut_chunks
from models.training.evaluation.probing.probe import (
    LayerMixHead,
    Part,
    answers_of,
    judge,
    r2,
    train_probe,
)
from models.training.evaluation.probing.run import select
from models.training.evaluation.probing.tasks import (
    KEYS,
    TASKS,
    ProbeError,
    Targets,
    make_targets,
    refined_weights,
)
from models.training.manifest import ManifestEntry, Split, write_manifest
from tests.training.tiny_corpus import make_entry, sound, write_wav

RATE_HZ = 24_000
TINY_BUNDLE = Path(__file__).parents[1] / "data" / "tiny_bundle"


def entry(number: int, **tags: tuple[str, ...]) -> ManifestEntry:
    return ManifestEntry(
        id=f"t{number}", path=f"{number}.wav", duration_s=1.0, split="train", group=f"g{number}",
        source="made", sha256=f"{number:064x}", title=None, artist=None, licence="CC0-1.0",
        attribution="", tags=tags,
    )  # fmt: skip


def test_every_kind_of_target_is_read() -> None:
    genres = make_targets(TASKS["gtzan"], [entry(0, genre=("rock",)), entry(1, genre=("blues",))])
    assert (genres.names, genres.values.tolist()) == (("blues", "rock"), [1.0, 0.0])
    tags = make_targets(TASKS["magnatagatune"], [entry(0, tag=("slow", "piano")), entry(1)])
    assert (tags.names, tags.values.tolist()) == (("piano", "slow"), [[1.0, 1.0], [0.0, 0.0]])
    marks = make_targets(TASKS["emomusic"], [entry(0, arousal=("5.5",), valence=("3",))])
    assert marks.values.tolist() == [[5.5, 3.0]]
    keys = make_targets(TASKS["giantsteps"], [entry(0, key=("Db minor",))])
    assert KEYS[int(keys.values[0])] == "c# minor"
    with pytest.raises(ProbeError, match="t0 has 0 values of genre"):
        make_targets(TASKS["gtzan"], [entry(0)])
    with pytest.raises(ProbeError, match="no class 'h minor'"):
        make_targets(TASKS["giantsteps"], [entry(0, key=("h minor",))])


def test_near_keys_are_worth_what_mirex_gives_them() -> None:
    worth, place = refined_weights(), {key: number for number, key in enumerate(KEYS)}
    right = worth[place["c major"]]
    named = {"c major": 1.0, "g major": 0.5, "a minor": 0.3, "c minor": 0.2, "f major": 0.0}
    assert {key: pytest.approx(right[place[key]]) for key in named} == named
    assert worth[place["a minor"], place["c major"]] == pytest.approx(0.3)
    np.testing.assert_allclose(worth.sum(axis=1), 2.0)


def test_a_rest_counts_from_half_a_chunk_on() -> None:
    samples = np.zeros(int(12.4 * RATE_HZ), dtype=np.float32)
    assert [len(c) / RATE_HZ for c in cut_chunks(samples, 5)] == [5.0, 5.0]
    assert [len(c) / RATE_HZ for c in cut_chunks(samples, 3)] == [3.0] * 4
    assert [len(c) for c in cut_chunks(samples, None)] == [len(samples)]
    assert [len(c) for c in cut_chunks(samples[:RATE_HZ], 5)] == [RATE_HZ]
    assert len(cut_chunks(samples[:1000], 5)[0]) >= RATE_HZ // 2


def test_answers_of_chunks_are_averaged_and_figures_are_their_definitions() -> None:
    head = LayerMixHead(layers=3, width=2, outputs=2)
    means = np.random.default_rng(0).normal(size=(3, 3, 2)).astype(np.float32)
    features = Features(means, np.array([0, 1, 1]))
    single = [answers_of(head, Features(means[i : i + 1], np.array([0])))[0] for i in range(3)]
    np.testing.assert_allclose(
        answers_of(head, features), [single[0], (single[1] + single[2]) / 2], atol=1e-6
    )
    said, true = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0], dtype=np.float32)
    assert r2(said, true, np.arange(3)) == pytest.approx(1 - 2 / 8)
    answers = np.eye(24)[[0, 7, 9]]  # c, g and a major are said
    keys = Targets(KEYS, np.array([0.0, 0.0, 21.0], dtype=np.float32))  # c, c major, a minor right
    found = judge(TASKS["giantsteps"], answers, keys)
    assert found["accuracy"].value == pytest.approx(1 / 3)
    assert found["refined_accuracy"].value == pytest.approx((1 + 0.5 + 0.2) / 3)
    assert found["refined_accuracy"].chance == pytest.approx(2 / 24)


def test_a_head_finds_the_layer_that_knows() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 240)
    means = rng.normal(size=(240, 5, 8)).astype(np.float32)
    means[:, 3] += 4 * np.eye(8, dtype=np.float32)[classes]
    targets = Targets(("a", "b", "c"), classes.astype(np.float32))
    features = Features(means, np.arange(240))
    bounds = {"train": (0, 160), "valid": (160, 200), "test": (200, 240)}
    parts: dict[str, Part] = {
        name: select(features, targets, list(range(*bound))) for name, bound in bounds.items()
    }
    task = dataclasses.replace(TASKS["gtzan"], epochs=40)
    found = train_probe(task, parts)
    assert found.figures["accuracy"].value > 0.8
    assert int(np.argmax(found.layer_weights)) == 2  # layer 3; the first weight is layer 1's
    assert found.tracks == {"train": 160, "valid": 40, "test": 40}
    again = train_probe(task, parts)
    assert again.validation == found.validation


def test_the_command_probes_a_bundle(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    entries = []
    splits: tuple[Split, ...] = ("train", "train", "valid", "test")
    for number in range(8):
        kind = ("low", "noise")[number % 2]
        path = tmp_path / f"{number}.wav"
        write_wav(path, sound(kind, 1.5, number))
        entries.append(make_entry(path, kind, splits[number // 2]))
    write_manifest(tmp_path / "manifest.jsonl", entries)
    command = [
        "probe", "gtzan", "--manifest", str(tmp_path / "manifest.jsonl"), "--model",
        str(TINY_BUNDLE), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "f.npz"),
    ]  # fmt: skip
    runner = CliRunner()
    first = runner.invoke(evaluate_app, command)
    assert first.exit_code == 0, first.output
    report = json.loads((tmp_path / "out" / "probe-gtzan.json").read_text())
    assert report["tracks"] == {"train": 4, "valid": 2, "test": 2}
    assert (tmp_path / "out" / "probe-gtzan-training.png").exists()
    second = runner.invoke(evaluate_app, command)
    assert "features of" not in second.output  # all of them were kept
    assert json.loads((tmp_path / "out" / "probe-gtzan.json").read_text()) == report
    write_manifest(tmp_path / "manifest.jsonl", entries[:4])
    assert "no tracks of the split valid" in " ".join(
        runner.invoke(evaluate_app, command).output.split()
    )
    assert "magnatagatune" in runner.invoke(evaluate_app, ["probe", "list"]).output
