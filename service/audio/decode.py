"""Decoding a file to mono float32 in bounded memory: as blocks, as clips, or whole.

Each stream is a context manager around one decoder process; leaving it early ends the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from service.audio.clips import CLIP_S, Clip, ClipCutter
from service.audio.errors import AudioTooShort, DecoderCrashed
from service.audio.peaks import PeakBuilder
from service.audio.protocol import DecodeRequest, Frame, FrameKind
from service.audio.results import AudioProbe, DecodeLimits, DecodeSummary, Samples
from service.audio.sandbox import DecoderProcess
from service.audio.tags import read_tags

SAMPLE_RATE_HZ = 24_000
_DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, eq=False)
class DecodedAudio:
    """A short file as a whole: samples [T] at `sample_rate_hz`."""

    samples: Samples
    sample_rate_hz: int
    probe: AudioProbe
    summary: DecodeSummary


def probe(path: Path, limits: DecodeLimits = _DEFAULT_LIMITS) -> AudioProbe:
    """What a file is, proven by decoding its first frame.

    Raises DecodeError when it is not audio that we can decode, OSError when it cannot be read.
    """
    request = DecodeRequest("probe", SAMPLE_RATE_HZ, 0, limits)
    with DecoderProcess(path, request) as process:
        frames = process.frames()
        found = _read_probe(next(frames))
        if next(frames).kind is not FrameKind.TRAILER:
            raise DecoderCrashed()
        return found


class PcmStream:
    """Blocks of mono samples [T] of one file, then a summary.

    `probe` is known at once, `summary` after the last block. Blocks are finite and within
    +-2 (6 dB over full scale, so that a loud master's overshoot survives).
    """

    def __init__(
        self,
        path: Path,
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        max_duration_s: float = math.inf,
        limits: DecodeLimits = _DEFAULT_LIMITS,
    ) -> None:
        """Start decoding; raises DecodeError or OSError when the file does not open."""
        self.sample_rate_hz = sample_rate_hz
        self._limits = limits
        self._max_samples = _to_samples(max_duration_s, sample_rate_hz)
        self._samples = 0
        self._summary: DecodeSummary | None = None
        request = DecodeRequest("decode", sample_rate_hz, self._max_samples, limits)
        self._process = DecoderProcess(path, request)
        try:
            self._frames = self._process.frames()
            self.probe = _read_probe(next(self._frames))
        except BaseException:
            self._process.close()
            raise

    @property
    def decoder_pid(self) -> int:
        """Process id of the decoder."""
        return self._process.pid

    @property
    def summary(self) -> DecodeSummary:
        """The summary; raises RuntimeError before the last block was read."""
        if self._summary is None:
            raise RuntimeError("the stream has not been read to its end")
        return self._summary

    def __iter__(self) -> Iterator[Samples]:
        for frame in self._frames:
            if frame.kind is FrameKind.PCM:
                yield self._read_block(frame)
            elif frame.kind is FrameKind.TRAILER:
                self._summary = self._read_summary(frame)
                return
            else:
                raise DecoderCrashed()

    def _read_block(self, frame: Frame) -> Samples:
        if len(frame.payload) % 4:
            raise DecoderCrashed()
        # A copy: frombuffer gives read-only memory, which torch and callers stumble over.
        block = np.frombuffer(frame.payload, dtype="<f4").astype(np.float32)
        self._samples += block.size
        if self._samples > self._max_samples or not np.isfinite(block).all():
            raise DecoderCrashed()
        return block

    def _read_summary(self, frame: Frame) -> DecodeSummary:
        try:
            summary = _parse_summary(frame.json(), self)
        except (KeyError, TypeError, ValueError) as error:
            raise DecoderCrashed() from error
        if summary.samples != self._samples:
            raise DecoderCrashed()
        if summary.duration_s < self._limits.min_duration_s:
            raise AudioTooShort()
        return summary

    def close(self) -> None:
        """End the decoder process; safe to call again."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ClipStream:
    """The clips of one file, in order, then its summary and its waveform peaks.

    Holds a few clips at most, whatever the file's length. A file that proves too short or broken
    raises from the iteration, possibly after clips were given: use them only when it has ended.
    """

    def __init__(self, pcm: PcmStream, clip_s: float = CLIP_S) -> None:
        self._pcm = pcm
        self._cutter = ClipCutter(pcm.sample_rate_hz, clip_s)
        self._peaks = PeakBuilder()

    @property
    def probe(self) -> AudioProbe:
        """What the file says about itself."""
        return self._pcm.probe

    @property
    def summary(self) -> DecodeSummary:
        """The summary; raises RuntimeError before the last clip was read."""
        return self._pcm.summary

    @property
    def peaks(self) -> npt.NDArray[np.uint8]:
        """Absolute peaks uint8 [800]; raises RuntimeError before the last clip was read."""
        _ = self._pcm.summary
        return self._peaks.finish()

    @property
    def decoder_pid(self) -> int:
        """Process id of the decoder."""
        return self._pcm.decoder_pid

    def __iter__(self) -> Iterator[Clip]:
        for block in self._pcm:
            self._peaks.add(block)
            yield from self._cutter.push(block)
        yield from self._cutter.finish()

    def close(self) -> None:
        """End the decoder process; safe to call again."""
        self._pcm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def stream_clips(
    path: Path,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    clip_s: float = CLIP_S,
    max_duration_s: float = math.inf,
    limits: DecodeLimits = _DEFAULT_LIMITS,
) -> ClipStream:
    """Open a file for reading its clips [W]; decoding stops at `max_duration_s`.

    Raises DecodeError or OSError when the file does not open; see ClipStream for later errors.
    """
    pcm = PcmStream(
        path, sample_rate_hz=sample_rate_hz, max_duration_s=max_duration_s, limits=limits
    )
    return ClipStream(pcm, clip_s)


def decode_all(
    path: Path,
    *,
    max_duration_s: float,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    limits: DecodeLimits = _DEFAULT_LIMITS,
) -> DecodedAudio:
    """The first `max_duration_s` of a file as one array; for query clips. Raises DecodeError."""
    with PcmStream(
        path, sample_rate_hz=sample_rate_hz, max_duration_s=max_duration_s, limits=limits
    ) as pcm:
        blocks = list(pcm)
        return DecodedAudio(np.concatenate(blocks), sample_rate_hz, pcm.probe, pcm.summary)


def _to_samples(duration_s: float, sample_rate_hz: int) -> int:
    if duration_s <= 0:
        raise ValueError("max_duration_s must be positive")
    # 2**62 stands for "no cap" in JSON, which has no infinity.
    return 1 << 62 if math.isinf(duration_s) else math.ceil(duration_s * sample_rate_hz)


def _read_probe(frame: Frame) -> AudioProbe:
    try:
        if frame.kind is not FrameKind.HEADER:
            raise ValueError("a header was expected")
        return _parse_probe(frame.json())
    except (KeyError, TypeError, ValueError) as error:
        raise DecoderCrashed() from error


def _parse_probe(fields: dict[str, Any]) -> AudioProbe:
    duration = fields["duration_s"]
    return AudioProbe(
        format=str(fields["format"]),
        codec=str(fields["codec"]),
        duration_s=None if duration is None else float(duration),
        sample_rate_hz=int(fields["sample_rate_hz"]),
        channels=int(fields["channels"]),
        # Cleaned on this side: the decoder has parsed hostile bytes and is not trusted.
        tags=read_tags({str(key): str(value) for key, value in fields["tags"].items()}),
    )


def _parse_summary(fields: dict[str, Any], stream: PcmStream) -> DecodeSummary:
    samples = int(fields["samples"])
    return DecodeSummary(
        duration_s=samples / stream.sample_rate_hz,
        samples=samples,
        truncated_at_cap=bool(fields["truncated_at_cap"]),
        corrupt_packets=int(fields["corrupt_packets"]),
        declared_duration_s=stream.probe.duration_s,
        ended_early=bool(fields["ended_early"]),
        non_finite_samples=int(fields["non_finite_samples"]),
        decoder_cpu_s=float(fields["cpu_s"]),
        decoder_peak_bytes=int(fields["peak_bytes"]),
    )
