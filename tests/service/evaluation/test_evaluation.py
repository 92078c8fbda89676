"""The measurements on a small made-up corpus whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.interface import Vectors
from models.training.manifest import ManifestEntry, write_manifest
from service.evaluation.copies import alike_table, copy_table, rule_table
from service.evaluation.figure import draw_relevance
from service.evaluation.fused import fused_table
from service.evaluation.music import (
    LabelledMusic,
    LabelledTrack,
    Recording,
    label_recordings,
    read_recordings,
)
from service.evaluation.parts import (
    lay_ground,
    mixed_table,
    unwanted_methods,
    unwanted_table,
    wanted_methods,
    wanted_table,
)
from service.evaluation.ranks import average_precision, best, found_in_ten, interval, roc_auc
from service.evaluation.rewritten import WAYS, Rewritten, rewrite
from service.evaluation.track_scores import track_score_table
from service.evaluation.unrelated import CURVE_BARS, clip_curve, text_curve, unrelated_table
from service.evaluation.verdicts import nonsense_table
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


def test_music_is_read_embedded_once_and_cached(tmp_path: Path) -> None:
    recording = write_audio(tmp_path / "a.wav", tone(150.0, 12.0), SAMPLE_RATE_HZ)
    broken = tmp_path / "b.wav"
    broken.write_bytes(b"nothing")
    entries = [
        entry(1, path=recording.name),
        entry(2, path=broken.name),
        entry(3, source="render: x"),
        entry(4, path=recording.name),
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
    read = read_recordings([manifest], tmp_path / "cache", encoder)
    assert [each.entry.id for each in read] == ["track-1", "track-4"]
    assert read[0].path == recording
    assert read[0].is_held_out
    found = label_recordings(read, [labels])
    assert [track.entry.id for track in found.tracks] == ["track-1"]
    assert found.tracks[0].logits.shape == (2, 3)
    assert found.only(["high"]).tracks[0].logits.tolist() == [[2.0], [5.0]]
    calls = len(encoder.clip_calls)
    again, _ = read_recordings([manifest, manifest], tmp_path / "cache", encoder)
    assert len(encoder.clip_calls) == calls
    np.testing.assert_array_equal(again.clips, read[0].clips)
    assert label_recordings(read[1:], [labels]).tracks == []


def near_reference(encoder: FakeEncoder, count: int, packages: int) -> list[Recording]:
    """Recordings whose clips are drawn as the reference's are."""
    rng = np.random.default_rng(4)
    drawn = []
    for number in range(count):
        clips = rng.normal(0, 1, (6, encoder.reference.shape[1])).astype(np.float32)
        clips /= np.linalg.norm(clips, axis=1, keepdims=True)
        package = f"package {number % packages}"
        made = entry(number, source=package, artist=f"Artist {number}", duration_s=60.0)
        drawn.append(Recording(made, clips, Path("none.wav")))
    return drawn


class WideEncoder(FakeEncoder):
    """A large reference of the same kind as the recordings."""

    @property
    def reference(self) -> Vectors:
        rng = np.random.default_rng(5)
        rows = rng.normal(0, 1, (3000, super().reference.shape[1])).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_relevance_is_a_rank_where_library_and_reference_are_alike(tmp_path: Path) -> None:
    encoder = WideEncoder()
    recordings = near_reference(encoder, 120, 12)
    for curve in (
        text_curve(recordings, encoder, (0.5, 0.9, 0.99)),
        clip_curve(recordings, encoder, (0.5, 0.9, 0.99)),
    ):
        assert curve.shares == pytest.approx([0.5, 0.1, 0.01], rel=0.15)
        assert (curve.low < curve.shares).all()
        assert (curve.shares < curve.high).all()
    rows = rows_of(unrelated_table(recordings, encoder))
    assert rows["0.99"][0] == "0.01"
    picture = tmp_path / "new" / "relevance.png"
    curves = (
        text_curve(recordings, encoder, CURVE_BARS),
        clip_curve(recordings, encoder, CURVE_BARS),
    )
    draw_relevance(*curves, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_pieces_of_one_album_are_no_unrelated_pairs() -> None:
    """All recordings of a package are the same: only other packages may count."""
    encoder = WideEncoder()
    recordings = near_reference(encoder, 40, 8)
    first = {each.entry.source: each.clips for each in reversed(recordings)}
    same = [Recording(each.entry, first[each.entry.source], each.path) for each in recordings]
    assert clip_curve(same, encoder, (0.99,)).shares[0] < 0.05


def copied(recording: Recording, spread: float) -> Rewritten:
    """As if every way moved all clips alike, and each a little by itself."""
    rng = np.random.default_rng(6)
    width = recording.clips.shape[1]
    moved = {
        way.name: recording.clips
        + np.float32(0.1) * rng.normal(0, 1 / np.sqrt(width), width).astype(np.float32)
        + rng.normal(0, spread, recording.clips.shape).astype(np.float32)
        for way in WAYS
    }
    return Rewritten(recording, moved)


def test_copies_are_counted_by_the_served_rule() -> None:
    encoder = WideEncoder()
    recordings = near_reference(encoder, 30, 5)
    found = rows_of(copy_table([copied(each, 0.001) for each in recordings[10:20]]))
    assert set(found) == {way.name for way in WAYS}
    assert found["mono"][3:] == ["10 of 10"]
    lost = rows_of(copy_table([copied(each, 1.0) for each in recordings[10:20]]))
    assert lost["mono"][3:] == ["0 of 10"]
    rules = rows_of(rule_table([copied(recordings[10], 0.001)], recordings))
    (served,) = (row for name, row in rules.items() if "as served" in name)
    assert served[0].startswith(f"{len(WAYS)} of ")
    assert served[1].startswith("0 of ")
    assert served[2].startswith("0 of ")
    assert len(alike_table(recordings, 3).splitlines()) == 2 + 3


def test_recordings_are_written_again_once(tmp_path: Path) -> None:
    file = write_audio(tmp_path / "a.wav", tone(150.0, 41.0), SAMPLE_RATE_HZ)
    encoder = FakeEncoder()
    made = Recording(entry(1, duration_s=41.0), np.zeros((5, 8), np.float32), file)
    short = Recording(entry(2, duration_s=5.0), made.clips, file)
    ways = [way for way in WAYS if way.suffix in {".mp3", ".flac"}]
    (again,) = rewrite([short, made], 5, tmp_path / "cache", encoder, ways)
    assert again.recording is made
    # The fifth clip has one second, and none of it after a cut of a second or more.
    assert {name: len(clips) for name, clips in again.clips.items()} == {
        way.name: 4 if way.cut_start_s + way.cut_end_s >= 1 else 5 for way in ways
    }
    calls = len(encoder.clip_calls)
    (cached,) = rewrite([made], 5, tmp_path / "cache", encoder, ways)
    assert len(encoder.clip_calls) == calls
    np.testing.assert_array_equal(
        cached.clips["mono"], again.clips["mono"].astype(np.float16).astype(np.float32)
    )
