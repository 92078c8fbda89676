"""Render short pieces whose every property is known: MMA style or solo -> MIDI -> sound.

Genre, tempo, key, mode and instruments are exact because we chose them or read them from the
score. The accompaniment styles and soundfonts are tools; chords, tunes and captions are ours.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.training.corpus import audio, midi
from models.training.corpus.instruments import MELODIC_PROGRAMS
from models.training.corpus.styles import BANDS, PROGRESSIONS, Style, find_style, is_in_four
from models.training.corpus.tunes import (
    SHARP_NAMES,
    chord_names,
    solo_voices,
    tune_notes,
)

SAMPLE_RATE_HZ = 24_000
PEAK = 0.7


class RenderError(RuntimeError):
    """A style did not compile, or a score rendered to silence."""


@dataclass(frozen=True)
class SoundFont:
    """A General MIDI bank; fonts of one family sound alike and are held out together."""

    name: str
    file: str
    family: str
    licence: str


FONTS: tuple[SoundFont, ...] = (
    SoundFont("FluidR3", "/usr/share/sounds/sf2/FluidR3_GM.sf2", "fluid", "MIT"),
    SoundFont("GMbank", "/usr/share/sounds/sf2/sf_GMbank.sf2", "gmbank", "public-domain"),
)
HELD_OUT_FONT = SoundFont(
    "OPL-3 FM", "/usr/share/sounds/sf2/OPL-3_FM_128M.sf2", "opl3", "CC-BY-SA-4.0"
)


@dataclass(frozen=True)
class Plan:
    """One piece to render, fully decided: the same plan always gives the same score."""

    id: str
    style_file: str | None
    groove: str | None
    style: Style | None
    tempo_bpm: int
    tonic: int
    minor: bool
    chords: tuple[str, ...]
    bars: int
    lead_program: int | None
    lead_seed: int
    room: float


@dataclass(frozen=True)
class Facts:
    """What is known for certain about a rendered piece."""

    genre: str | None
    synonyms: tuple[str, ...]
    tempo_bpm: int
    key: str
    mode: str
    programs: tuple[int, ...]
    lead_program: int | None
    has_drums: bool
    solo: bool


def plan_style_pieces(library: Path, seed: int, pieces_of: Mapping[str, int]) -> Iterator[Plan]:
    """Yield as many plans as `pieces_of` asks for each style file ("folder/stem"), in order."""
    for file in sorted(library.glob("*/*.mma")):
        relative = f"{file.parent.name}/{file.stem}"
        style = find_style(file.stem)
        per_file = pieces_of.get(relative, 0)
        if style is None or not per_file:
            continue
        grooves = _main_grooves(file)
        for number in range(per_file if grooves else 0):
            draw = random.Random(f"{seed}:{relative}:{number}")  # noqa: S311
            tonic = draw.randrange(12)
            roman = draw.choice(PROGRESSIONS[style.harmony])
            tempo = draw.randint(*style.tempo_bpm)
            bars = max(4, round(draw.uniform(13.0, 18.0) * tempo / 60 / 4))
            yield Plan(
                id=f"mma-{relative.replace('/', '-')}-{number}",
                style_file=relative,
                groove=grooves[(number + draw.randrange(len(grooves))) % len(grooves)],
                style=style,
                tempo_bpm=tempo,
                tonic=tonic,
                minor=not {"1m", "1m7"}.isdisjoint(roman.split()),
                chords=chord_names(roman, tonic),
                bars=bars,
                lead_program=_draw_lead(draw, file.stem),
                lead_seed=draw.randrange(1 << 30),
                room=draw.random(),
            )


def plan_solos(seed: int, per_program: int) -> Iterator[Plan]:
    """Yield plans of one melodic instrument playing alone."""
    for program in MELODIC_PROGRAMS:
        for number in range(per_program):
            draw = random.Random(f"{seed}:solo:{program}:{number}")  # noqa: S311
            minor = draw.random() < 0.5
            tempo = draw.randint(60, 150)
            tonic = draw.randrange(12)
            roman = draw.choice(PROGRESSIONS["minor" if minor else "pop"])
            yield Plan(
                id=f"solo-{program:03d}-{number}",
                style_file=None,
                groove=None,
                style=None,
                tempo_bpm=tempo,
                tonic=tonic,
                minor=minor,
                chords=chord_names(roman, tonic),
                bars=max(4, round(draw.uniform(12.0, 15.0) * tempo / 60 / 4)),
                lead_program=program,
                lead_seed=draw.randrange(1 << 30),
                room=draw.random(),
            )


def write_score(plan: Plan, path: Path) -> Facts:
    """Write the plan's MIDI file and return what is then known about it."""
    if plan.style_file is None:
        assert plan.lead_program is not None
        voices = solo_voices(
            plan.chords, plan.tonic, plan.minor, plan.bars, plan.lead_program, plan.lead_seed
        )
        midi.write_midi(path, plan.tempo_bpm, voices)
    else:
        source = path.with_suffix(".mma")
        source.write_text(_mma_text(plan), encoding="utf-8")
        run = subprocess.run(  # noqa: S603
            ["mma", str(source), "-f", str(path)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        source.unlink()
        if run.returncode or not path.exists():
            raise RenderError(f"{plan.style_file} {plan.groove}: {run.stdout[-200:]}")
        _add_lead(path, plan)
    return _facts(plan, midi.read_cast(path))


def render(score: Path, font: SoundFont, room: float, longest_s: float) -> audio.Samples:
    """Play a score with a soundfont: float32 [1, T] at 24 kHz, faded and brought to one peak."""
    wav = score.with_suffix(".wav")
    reverb = ["-R", "1", "-o", f"synth.reverb.room-size={0.2 + 0.6 * room:.2f}"]
    subprocess.run(  # noqa: S603
        ["fluidsynth", "-q", "-n", "-i", "-g", "0.5", "-r", str(SAMPLE_RATE_HZ), "-C", "0"]
        + (reverb if room > 0.3 else ["-R", "0"])
        + ["-F", str(wav), font.file, str(score)],
        capture_output=True,
        check=True,
        timeout=300,
    )
    samples = audio.decode_mono(wav, SAMPLE_RATE_HZ)[: int(longest_s * SAMPLE_RATE_HZ)]
    wav.unlink()
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < 1e-3:
        raise RenderError(f"{score.name} is silent with {font.name}")
    faded = samples * (PEAK / peak)
    tail = min(len(faded), SAMPLE_RATE_HZ // 5)
    faded[-tail:] *= np.linspace(1.0, 0.0, tail, dtype=np.float32)
    return np.ascontiguousarray(faded[np.newaxis], dtype=np.float32)


def _main_grooves(file: Path) -> list[str]:
    """Return a style's grooves, without intros, endings and fills."""
    names = [
        line.split()[1]
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip().lower().startswith("defgroove ") and len(line.split()) > 1
    ]
    passing = re.compile(r"intro|end|fill|break|none|F[A-D]$", re.IGNORECASE)
    return [name for name in names if not passing.search(name)]


def _draw_lead(draw: random.Random, stem: str) -> int | None:
    lead = draw.choice(MELODIC_PROGRAMS) if draw.random() < 0.45 else None
    return lead if is_in_four(stem) else None


def _mma_text(plan: Plan) -> str:
    lines = [f"Tempo {plan.tempo_bpm}", f"RndSeed {plan.lead_seed}"]
    lines.append(f"Groove {plan.style_file}:{plan.groove}")
    if plan.style_file and plan.style_file.startswith("zoom/") and plan.style is not None:
        draw = random.Random(plan.lead_seed)  # noqa: S311
        for part in draw.choice(BANDS[plan.style.band]):
            pattern = part.pattern
            lines += [f"{part.track}-Ours SeqClear", f"{part.track}-Ours Voice {part.voice}"]
            lines += [f"{part.track}-Ours Octave {part.octave}"]
            lines += [f"{part.track}-Ours Sequence {{ {pattern} }}"]
    lines += [plan.chords[bar % len(plan.chords)] for bar in range(plan.bars)]
    numbered = [
        line if number < len(lines) - plan.bars else f"{number} {line}"
        for number, line in enumerate(lines)
    ]
    return "\n".join(numbered) + "\n"


def _add_lead(score: Path, plan: Plan) -> None:
    """Add the plan's lead tune to a compiled accompaniment."""
    if plan.lead_program is None or plan.style_file is None:
        return
    notes = tune_notes(
        plan.chords, plan.tonic, plan.minor, plan.bars, plan.lead_program, plan.lead_seed
    )
    midi.append_voice(score, midi.Voice(channel=15, program=plan.lead_program, notes=tuple(notes)))


def _facts(plan: Plan, cast: midi.Cast) -> Facts:
    total = sum(cast.notes_per_program.values()) or 1
    # A voice that hardly plays is not worth a caption.
    heard = [
        program
        for program, count in sorted(cast.notes_per_program.items(), key=lambda item: -item[1])
        if count >= 3 and count / total > 0.02
    ]
    return Facts(
        genre=plan.style.genre if plan.style else None,
        synonyms=plan.style.synonyms if plan.style else (),
        tempo_bpm=plan.tempo_bpm,
        key=SHARP_NAMES[plan.tonic],
        mode="minor" if plan.minor else "major",
        programs=tuple(heard),
        lead_program=plan.lead_program,
        has_drums=cast.drum_notes > 4,
        solo=plan.style_file is None,
    )
