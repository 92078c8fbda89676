"""Files that the fake encoder's words "low", "middle" and "high" describe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.audio import write_audio
from tests.support.encoder import SAMPLE_RATE_HZ, TONES_HZ, tone


def write_tones(
    folder: Path, tones: Mapping[str, float] = TONES_HZ, *, duration_s: float = 12.0
) -> dict[str, Path]:
    """A WAV file for each name and frequency."""
    return {
        name: write_audio(folder / f"{name}.wav", tone(hz, duration_s), SAMPLE_RATE_HZ)
        for name, hz in tones.items()
    }
