"""Decode any audio file to float32 at one rate, and encode Ogg Opus.

Shape legend: C channels, T samples.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# FFmpeg's AVFMT_FLAG_BITEXACT: no random stream serial, no library version in the file.
_MUX_BITEXACT = 0x400


class AudioError(ValueError):
    """A file holds no audio that can be decoded, or samples that are not finite."""


@dataclass(frozen=True)
class AudioInfo:
    """What a container says about itself; tag names are lower case."""

    duration_s: float
    sample_rate_hz: int
    channels: int
    codec: str
    tags: dict[str, str]


def probe(source: Path | bytes) -> AudioInfo:
    """Read a file's header; AudioError where it holds no audio stream."""
    try:
        with _open(source) as container:
            stream = container.streams.audio[0]
            duration = (container.duration or 0) / av.time_base
            if not duration and stream.duration and stream.time_base:
                duration = float(stream.duration * stream.time_base)
            tags = {k.lower(): v.strip() for k, v in container.metadata.items()}
            tags |= {k.lower(): v.strip() for k, v in stream.metadata.items()}
            return AudioInfo(
                duration_s=duration,
                sample_rate_hz=stream.rate or 0,
                channels=stream.channels,
                codec=stream.codec_context.name,
                tags=tags,
            )
    except (av.FFmpegError, IndexError) as error:
        raise AudioError(f"not audio: {error}") from error


def decode(source: Path | bytes, sample_rate_hz: int) -> Samples:
    """Decode whole, channels kept apart, float32 [C, T] at the rate asked for.

    Packets that do not decode are skipped, as in the service's own decoder.
    """
    blocks: list[Samples] = []
    rate = 0
    try:
        with _open(source) as container:
            stream = container.streams.audio[0]
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    continue
                for frame in frames:
                    if isinstance(frame, AudioFrame):
                        rate = frame.sample_rate
                        blocks.append(_frame_samples(frame))
    except (av.FFmpegError, IndexError) as error:
        raise AudioError(f"not audio: {error}") from error
    if not blocks:
        raise AudioError("no sample could be decoded")
    channels = min(block.shape[0] for block in blocks)
    samples = np.concatenate([block[:channels] for block in blocks], axis=1)
    if not np.isfinite(samples).all():
        raise AudioError("samples are not finite")
    if rate != sample_rate_hz:
        samples = soxr.resample(samples.T, rate, sample_rate_hz, quality="HQ").T
    return np.ascontiguousarray(samples, dtype=np.float32)


def decode_mono(source: Path | bytes, sample_rate_hz: int) -> Samples:
    """Decode whole to the mean over channels, float32 [T]."""
    mono: Samples = decode(source, sample_rate_hz).mean(axis=0, dtype=np.float32)
    return mono


def encode_opus(
    path: Path, samples: Samples, sample_rate_hz: int, bit_rate: int, tags: Mapping[str, str]
) -> None:
    """Write float32 [C, T] (one or two channels) as Ogg Opus with the given tags."""
    layout = {1: "mono", 2: "stereo"}[samples.shape[0]]
    clipped = np.clip(samples, -1.0, 1.0).astype(np.float32)
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=sample_rate_hz, layout=layout)
        assert isinstance(stream, AudioStream)
        stream.bit_rate = bit_rate
        # So that the same samples give the same bytes.
        container.flags = container.flags | _MUX_BITEXACT
        for name, value in tags.items():
            stream.metadata[name] = value
        block = sample_rate_hz // 50
        for start in range(0, clipped.shape[1], block):
            piece = clipped[:, start : start + block]
            packed = np.ascontiguousarray(piece.T).reshape(1, -1)
            frame = AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate = sample_rate_hz
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _open(source: Path | bytes) -> av.container.InputContainer:
    file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    # Old files carry tags in older encodings: a broken letter must not hide the music.
    return av.open(file, "r", metadata_errors="replace")


def _frame_samples(frame: AudioFrame) -> Samples:
    """Return a frame as float32 [C, T], integers scaled to -1..1."""
    values: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    if values.dtype == np.uint8:
        return ((values.astype(np.float32) - 128.0) / 128.0).astype(np.float32)
    if values.dtype.kind == "i":
        full_scale = float(2 ** (8 * values.dtype.itemsize - 1))
        return (values.astype(np.float32) / full_scale).astype(np.float32)
    return values.astype(np.float32, copy=False)
