"""Real audio files, written by FFmpeg's encoders (through PyAV) or byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.service.audio.flac import write_silent_flac

AudioWriter = Callable[..., Path]


@dataclass(frozen=True)
class Encoding:
    """How a file is written: muxer, encoder, and the options that some of them need."""

    muxer: str
    codec: str
    bit_rate: int | None = None
    options: dict[str, str] = field(default_factory=dict)


ENCODINGS = {
    "mp3": Encoding("mp3", "libmp3lame", 128_000),
    "flac": Encoding("flac", "flac"),
    "ogg": Encoding("ogg", "vorbis", options={"strict": "experimental"}),
    "opus": Encoding("ogg", "libopus", 64_000),
    "m4a": Encoding("ipod", "aac", 128_000),
    "alac.m4a": Encoding("ipod", "alac"),
    "wav": Encoding("wav", "pcm_s16le"),
    "f32.wav": Encoding("wav", "pcm_f32le"),
    "f64.wav": Encoding("wav", "pcm_f64le"),
    "u8.wav": Encoding("wav", "pcm_u8"),
    "s24.wav": Encoding("wav", "pcm_s24le"),
    "aiff": Encoding("aiff", "pcm_s16be"),
    "webm": Encoding("webm", "libopus", 64_000),
    "mka": Encoding("matroska", "flac"),
    "wma": Encoding("asf", "wmav2", 128_000),
    "aac": Encoding("adts", "aac", 128_000),
    "ac3.mka": Encoding("matroska", "ac3", 128_000),
}


def tone(duration_s: float, rate_hz: int, channels: int) -> np.ndarray:
    """float32 [channels, samples]: another sine of amplitude 0.4 in each channel."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    sines = [0.4 * np.sin(2 * np.pi * (300 + 40 * c) * time_s) for c in range(channels)]
    return np.stack(sines).astype(np.float32)


def encode(
    path: Path,
    samples: np.ndarray,
    rate_hz: int,
    layout: str,
    encoding: Encoding,
    tags: dict[str, str] | None = None,
) -> Path:
    """Write float32 [channels, samples] as a real file."""
    with av.open(str(path), "w", format=encoding.muxer) as container:
        container.metadata.update(tags or {})
        stream: Any = container.add_stream(encoding.codec, rate=rate_hz, layout=layout)
        stream.codec_context.options = dict(encoding.options)
        if encoding.bit_rate:
            stream.bit_rate = encoding.bit_rate
        packed = np.ascontiguousarray(samples.T.reshape(1, -1), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        convert = av.AudioResampler(
            format=stream.codec_context.format.name, layout=layout, rate=rate_hz
        )
        for converted in [*convert.resample(frame), *convert.resample(None)]:
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def write_audio(tmp_path: Path) -> AudioWriter:
    """write_audio(kind, ...) -> path of a real file of that kind."""

    def write(
        kind: str,
        duration_s: float = 3.0,
        rate_hz: int = 48_000,
        layout: str = "stereo",
        samples: np.ndarray | None = None,
        tags: dict[str, str] | None = None,
    ) -> Path:
        channels = av.AudioLayout(layout).nb_channels
        data = tone(duration_s, rate_hz, channels) if samples is None else samples
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.{kind}"
        return encode(path, data, rate_hz, layout, ENCODINGS[kind], tags)

    return write


@pytest.fixture(scope="session")
def silent_hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One hour of silence, 44.1 kHz stereo, as a flac of under 100 KB."""
    return write_silent_flac(tmp_path_factory.mktemp("silence") / "hour.flac", 3600.0)


@pytest.fixture(scope="session")
def silent_ten_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten hours of silence, as a flac of under 1 MB."""
    return write_silent_flac(tmp_path_factory.mktemp("silence") / "ten.flac", 36_000.0)
