"""Scores of our own making: MIDI written and read back, chords, tunes, styles and their words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from models.training.corpus import midi
from models.training.corpus.captions import describe_recording, describe_render, tempo_word
from models.training.corpus.instruments import (
    MELODIC_PROGRAMS,
    PROGRAM_NAMES,
    SYNONYMS,
    program_family,
    program_name,
)
from models.training.corpus.render import FONTS, HELD_OUT_FONT, Facts, plan_style_pieces
from models.training.corpus.renders import plan_jobs, split_of_styles
from models.training.corpus.styles import PROGRESSIONS, find_style
from models.training.corpus.tunes import chord_names, chord_pitches, solo_voices, tune_notes
from models.training.manifest import Caption

FACTS = Facts(
    genre="reggae",
    synonyms=("dub",),
    tempo_bpm=78,
    key="A",
    mode="minor",
    programs=(33, 17, 73),
    lead_program=73,
    has_drums=True,
    solo=False,
)


def test_written_voices_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "score.mid"
    flute = midi.Voice(0, 73, tuple(midi.Note(beat, 0.9, 60 + beat, 90) for beat in range(5)))
    midi.write_midi(path, 120.0, [flute])
    midi.append_voice(path, midi.Voice(15, 42, (midi.Note(200.0, 300.0, 40, 80),)))
    midi.append_voice(path, midi.Voice(midi.DRUM_CHANNEL, 0, (midi.Note(0, 1, 36, 99),) * 3))
    assert midi.read_cast(path) == midi.Cast({73: 5, 42: 1}, drum_notes=3)


def test_what_is_not_midi_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.mid"
    path.write_bytes(b"RIFF and so on, long enough")
    with pytest.raises(midi.MidiError):
        midi.read_cast(path)
    with pytest.raises(midi.MidiError):
        midi.append_voice(path, midi.Voice(0, 0, ()))


def test_chords_follow_the_key() -> None:
    assert chord_names("2m7 57 1M7 b6", 0) == ("Dm7", "G7", "CM7", "Ab")
    assert chord_names("2m7 57 1M7", 9) == ("Bm7", "E7", "AM7")
    assert chord_pitches("CM7") == (0, 4, 7, 11)
    assert chord_pitches("Dm7b5") == (2, 5, 8, 0)
    assert chord_pitches("Eb7") == (3, 7, 10, 1)


@pytest.mark.parametrize("harmony", sorted(PROGRESSIONS))
def test_every_progression_can_be_played_in_every_key(harmony: str) -> None:
    for roman in PROGRESSIONS[harmony]:  # type: ignore[index]
        for tonic in range(12):
            for name in chord_names(roman, tonic):
                assert len(set(chord_pitches(name))) >= 3


def test_a_tune_is_in_key_and_the_same_for_the_same_seed() -> None:
    chords = chord_names("1m b6 b3 b7", 9)
    notes = tune_notes(chords, 9, True, 8, 73, seed=5)
    assert notes == tune_notes(chords, 9, True, 8, 73, seed=5)
    assert notes != tune_notes(chords, 9, True, 8, 73, seed=6)
    assert {note.pitch % 12 for note in notes} <= {9, 11, 0, 2, 4, 5, 7}
    assert all(40 < note.pitch < 110 for note in notes)


def test_every_melodic_instrument_plays_a_solo() -> None:
    chords = chord_names("1 5 6m 4", 2)
    for program in MELODIC_PROGRAMS:
        (voice,) = solo_voices(chords, 2, False, 6, program, seed=program)
        assert voice.program == program
        assert len(voice.notes) > 8
        assert all(0 <= note.pitch < 128 for note in voice.notes)


def test_instrument_names_are_complete() -> None:
    assert len(PROGRAM_NAMES) == 128
    assert (program_name(73), program_family(73)) == ("flute", "flute")
    assert (program_name(30), program_family(30)) == ("distorted guitar", "guitar")
    assert set(SYNONYMS) <= set(PROGRAM_NAMES)


@pytest.mark.parametrize(
    ("stem", "genre"),
    [
        ("rockwaltz", "waltz"),
        ("68swing", "swing"),
        ("heavymetal", "heavy metal"),
        ("triphop", "trip hop"),
        ("hip-hop", "hip hop"),
        ("countryblues", "blues"),
        ("metronome3", None),
        ("bald34", None),
    ],
)
def test_a_style_files_name_says_its_genre(stem: str, genre: str | None) -> None:
    style = find_style(stem)
    assert (style.genre if style else None) == genre


def _library(folder: Path) -> Path:
    for number in range(60):
        (folder / "one").mkdir(exist_ok=True)
        text = f"DefGroove Rock{number} A beat\nDefGroove Rock{number}Fill\nDefGroove RockIntro\n"
        (folder / "one" / f"rock{number}.mma").write_text(text, encoding="utf-8")
    (folder / "one" / "reggae.mma").write_text("DefGroove Reggae\n", encoding="utf-8")
    return folder


def test_whole_style_files_are_held_out_and_one_font_with_them(tmp_path: Path) -> None:
    library = _library(tmp_path)
    splits = split_of_styles(library)
    assert set(splits.values()) == {"train", "valid", "test"}
    assert splits["one/reggae"] == "train", "a genre's only file is needed for training"
    jobs = plan_jobs(library, scale=1.0)
    for job in jobs:
        assert job.split == splits.get(job.plan.style_file or "", "train")
        assert job.font != HELD_OUT_FONT or job.split == "test"
    assert HELD_OUT_FONT.family not in {font.family for font in FONTS}
    assert len({job.id for job in jobs}) == len(jobs)
    assert plan_jobs(library, scale=1.0) == jobs


def test_intros_and_fills_are_not_rendered(tmp_path: Path) -> None:
    plans = list(plan_style_pieces(_library(tmp_path), 1, {"one/rock7": 6}))
    assert {plan.groove for plan in plans} == {"Rock7"}
    assert len(plans) == 6


def test_a_renders_captions_say_only_what_is_known() -> None:
    described = describe_render(FACTS, seed=3)
    first = described.captions[0].text
    assert first == (
        "A moderate reggae piece with flute, electric bass, percussive organ and drums, "
        "in A minor at 78 beats per minute"
    )
    texts = [caption.text for caption in described.captions]
    assert len(texts) == len(set(texts)) >= 12
    assert {caption.kind for caption in described.captions} == {"fact"}
    assert not any("major" in text or "no drums" in text for text in texts)
    assert described.tags["key"] == ("A minor",)
    assert described.tags["instrument"] == ("flute", "electric bass", "percussive organ", "drums")


def test_a_solo_is_called_one() -> None:
    solo = dataclasses.replace(
        FACTS, genre=None, synonyms=(), programs=(42,), lead_program=42, has_drums=False, solo=True
    )
    texts = [caption.text for caption in describe_render(solo, seed=1).captions]
    assert "solo cello" in texts
    assert "music without drums" in texts


def test_a_recordings_own_title_is_kept_apart_from_facts() -> None:
    described = describe_recording(("folk",), (), "Elf Land", "Somebody", ("battle",), seed=0)
    kinds = {caption.text: caption.kind for caption in described.captions}
    assert kinds["folk music"] == "fact"
    assert kinds["Elf Land by Somebody"] == "title"
    assert all(kind == "title" for text, kind in kinds.items() if "battle" in text)
    assert describe_recording((), (), None, None, (), seed=0).captions == ()
    assert Caption("folk", "fact", 1.0) in described.captions


def test_tempo_words() -> None:
    assert [tempo_word(bpm) for bpm in (60, 90, 120, 170)] == ["slow", "moderate", "upbeat", "fast"]
