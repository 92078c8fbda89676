"""Recordings written again as other files, as copies of one recording come about.

Legend: C channels, T samples, N clips, E embedding width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from models.interface import MusicTextEncoder, Vectors
from models.training.corpus.audio import decode, decode_mono
from models.training.evaluation.robustness import write_file
from models.whole_file import whole_file
from service.evaluation.music import Recording

RATE_HZ = 44_100
SHORTEST_S, LONGEST_S = 40.0, 110.0


@dataclass(frozen=True)
class Way:
    """One way to write a recording again."""

    name: str
    codec: str
    suffix: str
    kbit_s: int | None = None
    rate_hz: int = RATE_HZ
    cut_start_s: float = 0.0
    cut_end_s: float = 0.0
    gain_db: float = 0.0
    is_mono: bool = False

    def duration_s(self, original_s: float) -> float:
        """The length of the new file."""
        return original_s - self.cut_start_s - self.cut_end_s


WAYS = (
    Way("MP3, 320 kbit/s", "libmp3lame", ".mp3", 320),
    Way("MP3, 128 kbit/s", "libmp3lame", ".mp3", 128),
    Way("MP3, 96 kbit/s", "libmp3lame", ".mp3", 96),
    Way("MP3, 64 kbit/s", "libmp3lame", ".mp3", 64),
    Way("AAC, 96 kbit/s", "aac", ".m4a", 96),
    Way("Ogg Opus, 64 kbit/s", "libopus", ".ogg", 64, rate_hz=48_000),
    Way("Ogg Opus, 32 kbit/s", "libopus", ".ogg", 32, rate_hz=48_000),
    Way("resampled to 22.05 kHz", "flac", ".flac", rate_hz=22_050),
    Way("mono", "flac", ".flac", is_mono=True),
    Way("9 dB softer", "flac", ".flac", gain_db=-9.0),
    Way("cut by 1 s at the start", "flac", ".flac", cut_start_s=1.0),
    Way("cut by 3 s at the start", "flac", ".flac", cut_start_s=3.0),
    Way("cut by 5 s at the start", "flac", ".flac", cut_start_s=5.0),
    Way("cut by 5 s at the end", "flac", ".flac", cut_end_s=5.0),
    Way("cut by 2 s, MP3, 64 kbit/s", "libmp3lame", ".mp3", 64, cut_start_s=2.0),
)


@dataclass(frozen=True, eq=False)
class Rewritten:
    """One recording and, by the way it was written again, the clip vectors [N, E]."""

    recording: Recording
    clips: dict[str, Vectors]


def rewrite(
    recordings: Sequence[Recording],
    count: int,
    cache: Path,
    encoder: MusicTextEncoder,
    ways: Sequence[Way] = WAYS,
) -> list[Rewritten]:
    """`count` recordings of 40 to 110 s, drawn by their checksums, written in every way."""
    fit = [each for each in recordings if SHORTEST_S <= each.entry.duration_s <= LONGEST_S]
    drawn = sorted(fit, key=lambda each: each.entry.sha256)[:count]
    folder = cache / encoder.model_id / "rewritten"
    return [Rewritten(each, _clips_of(each, folder, encoder, ways)) for each in drawn]


def _clips_of(
    recording: Recording, folder: Path, encoder: MusicTextEncoder, ways: Sequence[Way]
) -> dict[str, Vectors]:
    path = folder / f"{recording.entry.sha256}.npz"
    known: dict[str, Vectors] = {}
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            known = {name: stored[name].astype(np.float32) for name in stored.files}
    missing = [way for way in ways if way.name not in known]
    if missing:
        samples = decode(recording.path, RATE_HZ)[:2]
        for way in missing:
            known[way.name] = _embed_way(samples, way, encoder)
        halves = {name: clips.astype(np.float16) for name, clips in known.items()}
        with whole_file(path) as draft, draft.open("wb") as out:
            np.savez(out, allow_pickle=False, **halves)
    return {way.name: known[way.name] for way in ways}


def _embed_way(samples: Vectors, way: Way, encoder: MusicTextEncoder) -> Vectors:
    """The clip vectors [N, E] of samples [C, T] after they went through a file of this kind."""
    end = samples.shape[1] - round(way.cut_end_s * RATE_HZ)
    altered = samples[:, round(way.cut_start_s * RATE_HZ) : end] * 10 ** (way.gain_db / 20)
    if way.is_mono:
        altered = altered.mean(axis=0, keepdims=True)
    if way.rate_hz != RATE_HZ:
        altered = soxr.resample(altered.T, RATE_HZ, way.rate_hz).T
    # Encoders clip at full scale, which another gain would not; a file is written as it plays.
    altered = np.clip(altered, -0.999, 0.999).astype(np.float32)
    bit_rate = None if way.kbit_s is None else way.kbit_s * 1000
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"again{way.suffix}"
        write_file(path, altered, way.rate_hz, way.codec, bit_rate)
        return encoder.embed_track(decode_mono(path, encoder.sample_rate_hz)).clips
