"""Scores out of WAD files: which are found, what is known of them, and what damage is refused."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from models.training.corpus import midi
from models.training.corpus.midi import Note, Voice, write_midi
from models.training.corpus.packages import FREEDOOM
from models.training.corpus.pieces import TermsError
from models.training.corpus.render import FONTS
from models.training.corpus.scores import (
    LONGEST_S,
    build_scores,
    find_scores,
    heard_instruments,
    read_lumps,
)

GUITAR, BASS, FLUTE = 30, 34, 73
needs_fluidsynth = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not all(Path(font.file).exists() for font in FONTS),
    reason="fluidsynth and its soundfonts are not installed: no score was played",
)


def wad(*lumps: tuple[str, bytes]) -> bytes:
    body, entries = b"", b""
    for name, data in lumps:
        entries += struct.pack("<ii8s", 12 + len(body), len(data), name.encode("ascii"))
        body += data
    return b"PWAD" + struct.pack("<ii", len(lumps), 12 + len(body)) + body + entries


def score(path: Path, bars: int, tempo_bpm: float = 120.0) -> bytes:
    beats = range(4 * bars)
    guitar = Voice(0, GUITAR, tuple(Note(float(beat), 0.9, 45, 100) for beat in beats))
    bass = Voice(1, BASS, tuple(Note(float(beat), 0.9, 33, 100) for beat in beats[::2]))
    drums = Voice(midi.DRUM_CHANNEL, 0, tuple(Note(float(beat), 0.5, 36, 110) for beat in beats))
    flute = Voice(2, FLUTE, (Note(0.0, 1.0, 80, 90),))
    write_midi(path, tempo_bpm, [guitar, bass, drums, flute])
    return path.read_bytes()


def make_package(folder: Path, *lumps: tuple[str, bytes]) -> Path:
    root = folder / FREEDOOM.name
    doc = root / "usr" / "share" / "doc" / FREEDOOM.name
    doc.mkdir(parents=True)
    assert FREEDOOM.terms is not None
    broken = FREEDOOM.terms.evidence.replace(" of ", " of\n     ")
    (doc / "copyright").write_text(f"* {broken} may be used", encoding="utf-8")
    games = root / "usr" / "share" / "games" / "doom"
    games.mkdir(parents=True)
    (games / "levels.wad").write_bytes(wad(*lumps))
    return root


def test_scores_are_the_midi_music_of_wad_files_each_once(tmp_path: Path) -> None:
    one, other = score(tmp_path / "a.mid", 4), score(tmp_path / "b.mid", 5)
    root = make_package(
        tmp_path,
        ("MAP01", b""),
        ("D_RUNNIN", one),
        ("D_STALKS", other),
        ("D_AGAIN", one),
        ("D_INTRO", b"MUS\x1a not MIDI"),
        ("DSPISTOL", b"MThd a sound by that name"),
    )
    assert [found.name for found in find_scores(root)] == ["levels-RUNNIN", "levels-STALKS"]
    assert [found.data for found in find_scores(root)] == [one, other]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a WAD"),
        (b"ZWAD" + bytes(8), "not a WAD"),
        (b"PWAD" + struct.pack("<ii", 2, 12), "directory"),
        (b"PWAD" + struct.pack("<ii", -1, 12), "directory"),
        (b"PWAD" + struct.pack("<ii", 1, 12) + struct.pack("<ii8s", 20, 90, b"D_E1M1"), "entry 0"),
    ],
)
def test_a_damaged_wad_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        list(read_lumps(data, "levels.wad"))


def test_what_hardly_plays_is_not_named(tmp_path: Path) -> None:
    score(tmp_path / "a.mid", 8)
    cast = midi.read_cast(tmp_path / "a.mid")
    assert heard_instruments(cast) == ("distorted guitar", "picked bass", "drums")


def test_other_terms_than_the_declared_ones_end_the_build(tmp_path: Path) -> None:
    root = make_package(tmp_path, ("D_RUNNIN", score(tmp_path / "a.mid", 4)))
    (root / "usr/share/doc/freedoom/copyright").write_text("all rights reserved", encoding="utf-8")
    with pytest.raises(TermsError, match="freedoom"):
        build_scores(tmp_path / "out", root, 1, lambda _: None)


@needs_fluidsynth
def test_scores_are_played_whole_up_to_a_limit_and_described(tmp_path: Path) -> None:
    root = make_package(
        tmp_path,
        ("D_WHOLE", score(tmp_path / "a.mid", 16)),
        ("D_LONG", score(tmp_path / "b.mid", 70)),
        ("D_SHORT", score(tmp_path / "c.mid", 4)),
        ("D_BROKEN", b"MThd"),
    )
    out = tmp_path / "out"
    entries, failures = build_scores(out, root, 1, lambda _: None)
    assert [entry.id.rsplit("-", 1)[0] for entry in entries] == [
        "freedoom-levels-whole",
        "freedoom-levels-long",
    ]
    whole, long = entries
    assert 31 < whole.duration_s < 45  # 64 beats at 120 a minute, and what they leave in the room
    assert long.duration_s == pytest.approx(LONGEST_S, abs=0.1)
    assert whole.tags == {"instrument": ("distorted guitar", "picked bass", "drums")}
    assert {entry.licence for entry in entries} == {"BSD-3-Clause"}
    assert [line.split(":")[0] for line in failures] == [
        "freedoom-levels-short",
        "freedoom-levels-broken",
    ]
    before = (out / whole.path).stat().st_mtime_ns
    again, _ = build_scores(out, root, 1, lambda _: None)
    assert again == entries
    assert (out / whole.path).stat().st_mtime_ns == before
