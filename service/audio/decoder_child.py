"""The decoder process: `python -m service.audio.decoder_child REQUEST < audio-file > frames`.

It limits itself before the first library that parses audio is loaded, reads the one file that it
was given as standard input, and writes the frames of `service.audio.protocol`. It has no secrets
to lose: the parent starts it with an empty environment, in a session of its own.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from service.audio.errors import (
    AudioTooShort,
    CorruptAudio,
    DecodeError,
    DecodeMemoryLimit,
    DecoderCrashed,
)
from service.audio.protocol import DecodeRequest, FrameKind, pack_frame, pack_json
from service.audio.results import DecodeLimits, Samples

if TYPE_CHECKING:
    from service.audio.container import FrameReader, OpenedAudio
    from service.audio.pcm import PcmPipeline

_INPUT = 0
_OUTPUT = 1
# About 0.7 s a frame: small enough for a pipe, large enough that frames cost nothing.
_BLOCK_SAMPLES = 16_384
_PROBE_PACKETS = 256
# A declared length is rounded, and codecs pad: differences below this are no sign of a cut.
_END_SLACK_S = 0.25
_END_SLACK_RATIO = 0.005
# Share of samples that may be NaN or infinite, and of packets that may be broken.
_MAX_NON_FINITE_RATIO = 0.01
_MAX_CORRUPT_RATIO = 0.5


def limit_process(limits: DecodeLimits) -> None:
    """Take the limits on this process; they cannot be raised again."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files))


def send(data: bytes) -> None:
    """Write all bytes to the parent; blocks while it is busy, which bounds our memory."""
    view = memoryview(data)
    while view:
        view = view[os.write(_OUTPUT, view) :]


class BlockSender:
    """Sends samples in blocks of one size, up to the cap."""

    def __init__(self, max_samples: int) -> None:
        self._max_samples = max_samples
        self._buffer = np.empty(0, dtype=np.float32)
        self.samples = 0
        self.is_truncated = False

    def push(self, block: Samples) -> None:
        """Take samples [T]; `is_truncated` is set by the first one that is over the cap."""
        room = self._max_samples - self.samples - self._buffer.size
        if block.size > room:
            self.is_truncated = True
            block = block[:room]
        self._buffer = np.concatenate([self._buffer, block])
        while self._buffer.size >= _BLOCK_SAMPLES:
            self._send(self._buffer[:_BLOCK_SAMPLES])
            self._buffer = self._buffer[_BLOCK_SAMPLES:]

    def flush(self) -> None:
        """Send what is left."""
        if self._buffer.size:
            self._send(self._buffer)
            self._buffer = self._buffer[:0]

    def _send(self, block: Samples) -> None:
        self.samples += block.size
        send(pack_frame(FrameKind.PCM, block.astype("<f4").tobytes()))


def run(request: DecodeRequest) -> None:
    """Answer one request; raises a DecodeError."""
    # Loaded here, after the limits, because these bring the parsers of hostile bytes.
    from service.audio.container import FrameReader, open_audio
    from service.audio.pcm import PcmPipeline

    audio = open_audio(_INPUT)
    context = audio.stream.codec_context
    header = {
        "format": audio.format,
        "codec": audio.codec,
        "duration_s": audio.declared_duration_s,
        "sample_rate_hz": context.sample_rate,
        "channels": context.channels,
        "tags": audio.tags,
    }
    frames = FrameReader(audio)
    if request.mode == "probe":
        _find_first_frame(frames)
        send(pack_json(FrameKind.HEADER, header))
        send(pack_json(FrameKind.TRAILER, {}))
        return
    send(pack_json(FrameKind.HEADER, header))
    pipeline = PcmPipeline(request.sample_rate_hz)
    sender = BlockSender(request.max_samples)
    for values, layout in frames:
        for block in pipeline.push(values, layout):
            sender.push(block)
        if sender.is_truncated:
            break
    else:
        for block in pipeline.flush():
            sender.push(block)
    sender.flush()
    _check(frames, pipeline)
    send(pack_json(FrameKind.TRAILER, _trailer(audio, frames, pipeline, sender)))


def _find_first_frame(frames: FrameReader) -> None:
    """Prove that the file's start decodes, so that a probe that passes means audio."""
    for values, _ in frames:
        if values.size:
            return
        if frames.packets >= _PROBE_PACKETS:
            raise CorruptAudio()
    raise CorruptAudio() if frames.corrupt_packets else AudioTooShort()


def _check(frames: FrameReader, pipeline: PcmPipeline) -> None:
    if frames.corrupt_packets > _MAX_CORRUPT_RATIO * max(frames.packets, 1):
        raise CorruptAudio()
    if frames.corrupt_packets and pipeline.source_samples == 0:
        raise CorruptAudio()
    if pipeline.non_finite_samples > _MAX_NON_FINITE_RATIO * pipeline.source_samples:
        raise CorruptAudio()


def _trailer(
    audio: OpenedAudio, frames: FrameReader, pipeline: PcmPipeline, sender: BlockSender
) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "samples": sender.samples,
        "truncated_at_cap": sender.is_truncated,
        "corrupt_packets": frames.corrupt_packets,
        "ended_early": not sender.is_truncated and _ended_early(audio, pipeline),
        "non_finite_samples": pipeline.non_finite_samples,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": _peak_bytes(),
    }


def _peak_bytes() -> int:
    """Most memory that this process held at once."""
    if sys.platform != "linux":
        # In bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss: on Linux it starts at what the parent held when it forked.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _ended_early(audio: OpenedAudio, pipeline: PcmPipeline) -> bool:
    declared_s = audio.declared_duration_s
    if audio.is_cut or declared_s is None:
        return audio.is_cut
    slack_s = _END_SLACK_S + _END_SLACK_RATIO * declared_s
    return pipeline.source_duration_s < declared_s - slack_s


def _fail(error: DecodeError) -> NoReturn:
    send(pack_json(FrameKind.ERROR, {"code": error.code}))
    raise SystemExit(1)


def main() -> None:
    """Entry point of the process."""
    request = DecodeRequest.from_json(sys.argv[1])
    limit_process(request.limits)
    try:
        run(request)
    except DecodeError as error:
        _fail(error)
    except MemoryError:
        _fail(DecodeMemoryLimit())
    except BrokenPipeError:
        # The parent has hung up: nobody is left to tell.
        raise SystemExit(1) from None
    except Exception:  # noqa: BLE001 - a library's surprise must become a code, not a traceback
        _fail(DecoderCrashed())


if __name__ == "__main__":
    main()
