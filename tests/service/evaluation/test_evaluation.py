"""The measurements on a small made-up corpus whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.training.manifest import ManifestEntry, write_manifest
from service.evaluation.fused import fused_table
from service.evaluation.music import LabelledMusic, LabelledTrack, read_music
from service.evaluation.parts import (
    lay_ground,
    mixed_table,
    unwanted_methods,
    unwanted_table,
    wanted_methods,
    wanted_table,
)
from service.evaluation.ranks import average_precision, best, found_in_ten, interval, roc_auc
from service.evaluation.track_scores import track_score_table
from service.evaluation.verdicts import lookalike_table, nonsense_table, relevance_table
from tests.support.audio import write_audio
from tests.support.encoder import SAMPLE_RATE_HZ, FakeEncoder, tone

NAMES = ["low", "middle", "high"]


def entry(number: int, **changes: object) -> ManifestEntry:
    values: dict[str, object] = {
        "id": f"track-{number}",
        "path": f"track-{number}.wav",
        "duration_s": 20.0 + 7 * number,
        "split": "test",
        "group": f"group {number}",
        "source": "tones 1",
        "sha256": f"{number:064x}",
        "title": f"Title number{number}",
        "artist": f"Artist {'ABC'[number % 3]}",
        "licence": "CC0-1.0",
        "attribution": "made for a test",
    }
    return ManifestEntry(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def music() -> LabelledMusic:
    """Tracks of low, middle and high tones in every mix, whose labels say how much of each."""
    rng = np.random.default_rng(1)
    words = FakeEncoder().embed_text(NAMES)
    tracks = []
    for number in range(300):
        amounts = np.where(rng.random(3) < 0.4, 1.0, 0.0) + rng.random(3) / 5
        vector = amounts @ words + rng.normal(0, 0.2, words.shape[1])
        clips = np.stack([vector + rng.normal(0, 0.02, len(vector)) for _ in range(4)])
        clips /= np.linalg.norm(clips, axis=1, keepdims=True)
        logits = np.stack([amounts + rng.normal(0, 0.05, 3) for _ in range(2)])
        tracks.append(LabelledTrack(entry(number), clips.astype(np.float32), logits))
    return LabelledMusic(tracks, NAMES)


def rows_of(markdown: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines()]
    return {line[0].strip(): line[1:] for line in lines[2:]}


def test_figures() -> None:
    scores = np.array([0.9, 0.1, 0.8, 0.5])
    relevant = np.array([True, False, False, True])
    assert best(scores, 2).tolist() == [0, 2]
    assert average_precision(scores, relevant) == pytest.approx((1 + 2 / 3) / 2)
    assert roc_auc(scores, relevant) == 0.75
    assert found_in_ten([3, 1, 2], frozenset({1, 9})) == 0.5
    low, high = interval(np.array([0.0, 1.0] * 50))
    assert 0.3 < low < 0.5 < high < 0.7


def test_what_is_served_beats_plain_subtraction_here_too(music: LabelledMusic) -> None:
    ground = lay_ground(music, FakeEncoder())
    assert len(ground.pairs) >= 2
    unwanted = rows_of(unwanted_table(ground))
    served = [name for name in unwanted if "as served" in name]
    assert len(served) == 1
    assert float(unwanted[served[0]][1]) < float(unwanted["A alone"][1]), "B falls"
    assert float(unwanted[served[0]][2]) >= float(unwanted["vectors: A - B"][2])
    wanted = rows_of(wanted_table(ground))
    assert float(wanted["spreads: A + B  (as served)"][2]) > float(wanted["A alone"][2])


def test_the_served_formulas_are_the_ones_that_are_named(music: LabelledMusic) -> None:
    """The table computes its alternatives by itself: the served row must agree with its own."""
    ground = lay_ground(music, FakeEncoder())
    z = ground.standardised()
    a, b = ground.pairs[0]
    served = unwanted_methods(ground, 1.0)["spreads: A - max(0, B)  (as served)"](a, b)
    assert (best(served) == best(z[:, a] - np.maximum(0, z[:, b]))).all()
    served = wanted_methods(ground)["spreads: A + B  (as served)"](a, b)
    assert (best(served) == best(z[:, a] + z[:, b])).all()


def test_every_table_is_filled(music: LabelledMusic) -> None:
    encoder = FakeEncoder()
    scores = rows_of(track_score_table(music, encoder))
    assert scores["mean of clips  (as served)"][1] == "+0.000 to +0.000"
    fused = rows_of(fused_table(music, encoder))
    assert float(fused["words alone"][0].split(" / ")[0]) > 0.9, "titles are found by words"
    mixed = rows_of(mixed_table(lay_ground(music, encoder)))
    both = {name: float(row[2]) for name, row in mixed.items()}
    assert both["spreads: text + track  (as served)"] > both["track alone"]
    assert len(rows_of(nonsense_table(music, encoder))) == 5
    relevance = rows_of(relevance_table(music, encoder))
    assert relevance["0.990"][0] == "0.010"
    assert len(rows_of(lookalike_table(music))) == 6


def test_music_is_read_embedded_once_and_cached(tmp_path: Path) -> None:
    recording = write_audio(tmp_path / "a.wav", tone(150.0, 12.0), SAMPLE_RATE_HZ)
    broken = tmp_path / "b.wav"
    broken.write_bytes(b"nothing")
    entries = [
        entry(1, path=recording.name),
        entry(2, path=broken.name),
        entry(3, source="render: x"),
        entry(4),
    ]
    manifest = tmp_path / "manifest.jsonl"
    write_manifest(manifest, entries)
    assert len([json.loads(line) for line in manifest.read_text().splitlines()]) == 4
    labels = tmp_path / "labels.npz"
    np.savez(
        labels,
        tags=np.array(NAMES),
        track_ids=np.array(["track-1", "track-1", "track-2", "track-3"]),
        logits=np.arange(12.0).reshape(4, 3),
    )
    encoder = FakeEncoder()
    found = read_music([manifest], [labels], tmp_path / "cache", encoder)
    assert [track.entry.id for track in found.tracks] == ["track-1"]
    assert found.tracks[0].logits.shape == (2, 3)
    assert found.only(["high"]).tracks[0].logits.tolist() == [[2.0], [5.0]]
    calls = len(encoder.clip_calls)
    again = read_music([manifest], [labels], tmp_path / "cache", encoder)
    assert len(encoder.clip_calls) == calls
    np.testing.assert_array_equal(again.tracks[0].clips, found.tracks[0].clips)
