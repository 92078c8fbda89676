"""Chords and tunes of our own making, from a seed: what the renders play."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from models.training.corpus.midi import Note, Voice

SHARP_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
BEATS_PER_BAR = 4

_DEGREES = {"1": 0, "2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "7": 11}
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)

# Where an instrument's tune is centred (MIDI pitch), by the first program of its range.
_CENTRES: tuple[tuple[int, int], ...] = (
    (0, 69), (9, 79), (11, 72), (16, 67), (24, 62), (40, 74), (41, 65), (42, 53), (43, 41),
    (46, 69), (48, 67), (56, 70), (57, 55), (58, 43), (60, 60), (61, 65), (64, 72), (65, 66),
    (66, 60), (67, 52), (68, 72), (70, 50), (71, 69), (72, 84), (73, 77), (74, 79), (75, 74),
    (80, 72), (104, 64),
)  # fmt: skip

# Programs that can play chords under their own tune.
_POLYPHONIC = frozenset({*range(32), 46, 48, 52, 61, *range(104, 109)})

_RHYTHMS: tuple[tuple[float, ...], ...] = (
    (1, 1, 1, 1),
    (0.5, 0.5, 1, 0.5, 0.5, 1),
    (2, 1, 1),
    (1.5, 0.5, 2),
    (0.5, 0.5, 0.5, 0.5, 1, 1),
    (0.5,) * 8,
    (0.25, 0.25, 0.5, 0.5, 0.5, 1, 1),
    (3, 1),
)


def chord_names(roman: str, tonic: int) -> tuple[str, ...]:
    """Turn degrees ("2m7 57 1M7") into chord names in a key; tonic is a pitch class, C = 0."""
    names = []
    for word in roman.split():
        match = re.fullmatch(r"(b?)([1-7])(.*)", word)
        if match is None:
            raise ValueError(f"not a chord degree: {word!r}")
        root = (tonic + _DEGREES[match[2]] - (1 if match[1] else 0)) % 12
        names.append(SHARP_NAMES[root] + match[3])
    return tuple(names)


def chord_pitches(name: str) -> tuple[int, ...]:
    """Return the pitch classes of a chord name that `chord_names` can produce."""
    match = re.fullmatch(r"([A-G][#b]?)(.*)", name)
    if match is None or match[1] not in SHARP_NAMES:
        raise ValueError(f"not a chord: {name!r}")
    root = SHARP_NAMES.index(match[1])
    quality = match[2]
    third = 3 if quality.startswith("m") else 4
    fifth = 6 if quality.endswith("b5") else 7
    steps = [0, third, fifth]
    if "7" in quality:
        steps.append(11 if "M7" in quality else 10)
    return tuple((root + step) % 12 for step in steps)


def tune_notes(
    chords: Sequence[str], tonic: int, minor: bool, bars: int, program: int, seed: int
) -> list[Note]:
    """Walk through the scale, landing on chord tones where bars begin; some bars rest."""
    draw = random.Random(seed)  # noqa: S311
    scale = [(tonic + step) % 12 for step in (_MINOR if minor else _MAJOR)]
    centre = _centre(program)
    pitch = centre
    motifs = [draw.choice(_RHYTHMS) for _ in range(2)]
    notes = []
    for bar in range(bars):
        if bar and draw.random() < 0.08:
            continue
        beat = float(bar * BEATS_PER_BAR)
        tones = chord_pitches(chords[bar % len(chords)])
        for number, length in enumerate(motifs[bar % 2]):
            step = draw.choice((-4, -3, -2, -1, 1, 2, 3, 4))
            allowed = tones if number == 0 else tuple(scale)
            pitch = _nearest(pitch + step, allowed, centre)
            velocity = draw.randint(88, 112)
            notes.append(Note(beat, length * draw.choice((0.6, 0.9, 0.98)), pitch, velocity))
            beat += length
    return notes


def solo_voices(
    chords: Sequence[str], tonic: int, minor: bool, bars: int, program: int, seed: int
) -> list[Voice]:
    """One instrument alone: its tune, and its own accompaniment where it can play chords."""
    draw = random.Random(seed + 1)  # noqa: S311
    texture = draw.choice(("tune", "chords", "arpeggio")) if program in _POLYPHONIC else "tune"
    low = _centre(program) - 14
    notes: list[Note] = []
    if texture != "arpeggio" or draw.random() < 0.5:
        notes += tune_notes(chords, tonic, minor, bars, program, seed)
    for bar in range(bars):
        tones = [
            _nearest(low + 5 * n, (tone,), low + 6)
            for n, tone in enumerate(chord_pitches(chords[bar % len(chords)]))
        ]
        beat = float(bar * BEATS_PER_BAR)
        if texture == "chords":
            notes += [Note(beat + half, 1.9, tone, 72) for half in (0, 2) for tone in tones]
        elif texture == "arpeggio":
            order = sorted(tones) + sorted(tones)[-2:0:-1]
            notes += [Note(beat + k / 2, 0.55, order[k % len(order)], 76) for k in range(8)]
    return [Voice(channel=0, program=program, notes=tuple(notes))]


def _centre(program: int) -> int:
    centre = _CENTRES[0][1]
    for first, pitch in _CENTRES:
        if program >= first:
            centre = pitch
    return centre


def _nearest(pitch: int, classes: Sequence[int], centre: int) -> int:
    """Return the nearest pitch of the given classes, within about an octave of the centre."""
    wanted = min(max(pitch, centre - 11), centre + 11)
    candidates = [p for p in range(wanted - 6, wanted + 7) if p % 12 in classes]
    return min(candidates, key=lambda p: abs(p - wanted))
