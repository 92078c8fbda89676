"""The little of Standard MIDI Files that the corpus needs: write a score, read who plays in it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_BEAT = 192
DRUM_CHANNEL = 9


class MidiError(ValueError):
    """A file is not a Standard MIDI File that this module can read."""


@dataclass(frozen=True)
class Note:
    """One note: where it starts and how long it is, in beats; pitch and velocity 0 to 127."""

    start_beat: float
    length_beats: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Voice:
    """One channel's part; `program` is ignored on the drum channel."""

    channel: int
    program: int
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Cast:
    """Who plays in a file: notes per program, and notes on the drum channel."""

    notes_per_program: dict[int, int]
    drum_notes: int


def write_midi(path: Path, tempo_bpm: float, voices: Sequence[Voice]) -> None:
    """Write voices as a format 1 file at one tempo."""
    tempo = round(60_000_000 / tempo_bpm)
    chunks = [_chunk(b"\x00\xff\x51\x03" + tempo.to_bytes(3, "big") + b"\x00\xff\x2f\x00")]
    chunks += [_chunk(_voice_bytes(voice)) for voice in voices]
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(chunks), TICKS_PER_BEAT)
    path.write_bytes(header + b"".join(chunks))


def read_cast(path: Path) -> Cast:
    """Count the sounding notes of each program; MidiError where the file is not readable."""
    data = path.read_bytes()
    if data[:4] != b"MThd" or len(data) < 14:
        raise MidiError(f"{path.name} is not a MIDI file")
    programs: Counter[int] = Counter()
    drums = 0
    offset = 14
    while offset + 8 <= len(data):
        length = struct.unpack(">I", data[offset + 4 : offset + 8])[0]
        for channel, program in _sounding(data[offset + 8 : offset + 8 + length]):
            if channel == DRUM_CHANNEL:
                drums += 1
            else:
                programs[program] += 1
        offset += 8 + length
    return Cast(dict(programs), drums)


def _sounding(track: bytes) -> list[tuple[int, int]]:
    """Return (channel, program) of every note that starts in a track chunk."""
    program_of = dict.fromkeys(range(16), 0)
    notes: list[tuple[int, int]] = []
    at, status = 0, 0
    while at < len(track):
        _, at = _read_length(track, at)
        if track[at] >= 0x80:
            status = track[at]
            at += 1
        if status == 0xFF:
            size, at = _read_length(track, at + 1)
            at += size
        elif status in {0xF0, 0xF7}:
            size, at = _read_length(track, at)
            at += size
        else:
            kind, channel = status & 0xF0, status & 0x0F
            if kind == 0xC0:
                program_of[channel] = track[at]
            elif kind == 0x90 and track[at + 1] > 0:
                notes.append((channel, program_of[channel]))
            at += 1 if kind in {0xC0, 0xD0} else 2
    return notes


def _voice_bytes(voice: Voice, ticks_per_beat: int = TICKS_PER_BEAT) -> bytes:
    events: list[tuple[int, int, bytes]] = []
    for note in voice.notes:
        start = round(note.start_beat * ticks_per_beat)
        end = start + max(1, round(note.length_beats * ticks_per_beat))
        events.append((start, 1, bytes([0x90 | voice.channel, note.pitch, note.velocity])))
        events.append((end, 0, bytes([0x80 | voice.channel, note.pitch, 0])))
    # Ends sort before starts of the same tick, so that a repeated pitch sounds again.
    events.sort(key=lambda event: event[:2])
    body = bytes([0, 0xC0 | voice.channel, voice.program])
    now = 0
    for tick, _, message in events:
        body += _write_length(tick - now) + message
        now = tick
    return body + b"\x00\xff\x2f\x00"


def _chunk(body: bytes) -> bytes:
    return b"MTrk" + struct.pack(">I", len(body)) + body


def _write_length(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    while True:
        byte = data[at]
        at += 1
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, at


def append_voice(path: Path, voice: Voice) -> None:
    """Add one track to a format 1 file, at that file's own resolution."""
    data = path.read_bytes()
    if data[:4] != b"MThd":
        raise MidiError(f"{path.name} is not a MIDI file")
    kind, tracks, division = struct.unpack(">HHH", data[8:14])
    if kind != 1 or division & 0x8000:
        raise MidiError(f"{path.name} is not a format 1 file counted in beats")
    header = b"MThd" + struct.pack(">IHHH", 6, 1, tracks + 1, division)
    path.write_bytes(header + data[14:] + _chunk(_voice_bytes(voice, division)))
