"""Opening one untrusted file with FFmpeg, inside the decoder process only.

This is the one module that imports PyAV. It must never be imported by the service itself.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.audio.frame
import av.audio.plane
import av.audio.stream
import av.container
import av.error
import numpy as np
import numpy.typing as npt

from service.audio import formats
from service.audio.errors import CorruptAudio, NoAudioStream, NotAudioFile, UnsupportedCodec
from service.audio.pcm import FrameLayout
from service.audio.tags import KNOWN_KEYS, MAX_RAW_CHARS

_HEAD_BYTES = 64
_OGG_TAIL_BYTES = 128 * 1024
_XING_SEARCH_BYTES = 8 * 1024
_OGG_PAGE_HEADER_BYTES = 27
_OGG_END_OF_STREAM = 0x04
_MICROSECONDS = 1_000_000
_DTYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}


@dataclass(frozen=True)
class OpenedAudio:
    """An open container with its chosen stream and what it says about itself.

    `is_cut` is a structural sign that the file's end is missing. `declared_duration_s` is None
    also where FFmpeg would only guess it from the bit rate.
    """

    container: av.container.InputContainer
    stream: av.audio.stream.AudioStream
    format: str
    codec: str
    declared_duration_s: float | None
    is_cut: bool
    tags: dict[str, str]


def open_audio(descriptor: int) -> OpenedAudio:
    """Open the regular file behind a descriptor; raises a DecodeError.

    FFmpeg is given a name without an extension, so that only content decides what the file is.
    """
    head = os.pread(descriptor, _HEAD_BYTES, 0)
    tag_bytes = formats.id3_size_bytes(head)
    # FFmpeg takes a flac behind an ID3 tag for mp3.
    hint = "flac" if os.pread(descriptor, 4, tag_bytes) == b"fLaC" else None
    container = _open_container(descriptor, hint, formats.sniff_format(head))
    stream = _choose_stream(container)
    name = _format_name(container.format.name)
    exact = not (name == "aac" or (name == "mp3" and not _has_mp3_length(descriptor, tag_bytes)))
    return OpenedAudio(
        container=container,
        stream=stream,
        format=name,
        codec=formats.CODEC_NAMES[stream.codec_context.name],
        declared_duration_s=_declared_duration_s(container, stream) if exact else None,
        is_cut=_is_cut(descriptor, name),
        tags=_raw_tags(container, stream),
    )


def _open_container(
    descriptor: int, hint: str | None, announced: str | None
) -> av.container.InputContainer:
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(formats.FORMAT_NAMES),
        "codec_whitelist": ",".join(formats.CODEC_NAMES),
    }
    try:
        return av.open(
            f"file:/dev/fd/{descriptor}", format=hint, options=options, metadata_errors="replace"
        )
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        # A known signature that does not open is damage; no signature means it never was audio.
        raise (CorruptAudio() if announced else NotAudioFile()) from error


def _format_name(demuxer: str) -> str:
    return next(formats.FORMAT_NAMES[n] for n in demuxer.split(",") if n in formats.FORMAT_NAMES)


def _choose_stream(container: av.container.InputContainer) -> av.audio.stream.AudioStream:
    if not container.streams.audio:
        raise NoAudioStream()
    stream = container.streams.audio[0]
    context = stream.codec_context
    # Streams in a codec without a decoder have no context at all.
    if context is None or context.name not in formats.CODEC_NAMES:
        raise UnsupportedCodec()
    if not context.sample_rate or not context.channels:
        raise CorruptAudio()
    if not formats.MIN_SAMPLE_RATE_HZ <= context.sample_rate <= formats.MAX_SAMPLE_RATE_HZ:
        raise UnsupportedCodec()
    if context.channels > formats.MAX_CHANNELS:
        raise UnsupportedCodec()
    # Threads would multiply address space and CPU time; processes give the parallelism.
    context.thread_count = 1
    context.options = {"codec_whitelist": context.name}
    return stream


def _declared_duration_s(
    container: av.container.InputContainer, stream: av.audio.stream.AudioStream
) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        declared = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        declared = container.duration / _MICROSECONDS
    else:
        return None
    return declared if declared > 0 else None


def _raw_tags(
    container: av.container.InputContainer, stream: av.audio.stream.AudioStream
) -> dict[str, str]:
    # Ogg keeps its tags on the stream, the others on the container.
    found = {**stream.metadata, **container.metadata}
    return {k: v[:MAX_RAW_CHARS] for k, v in found.items() if k.lower() in KNOWN_KEYS}


def _has_mp3_length(descriptor: int, tag_bytes: int) -> bool:
    """Whether the first frame carries a table of contents, which gives the exact length."""
    first = os.pread(descriptor, _XING_SEARCH_BYTES, tag_bytes)
    return re.search(rb"Xing|Info|VBRI", first) is not None


def _is_cut(descriptor: int, name: str) -> bool:
    if name == "ogg":
        return _is_ogg_cut(descriptor)
    return name == "wav" and _is_riff_cut(descriptor)


def _is_ogg_cut(descriptor: int) -> bool:
    """An ogg's length is read from its last page, so only the end-of-stream mark tells a cut."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _OGG_TAIL_BYTES, max(0, size - _OGG_TAIL_BYTES))
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < _OGG_PAGE_HEADER_BYTES:
        return True
    segments = page[26]
    body = sum(page[_OGG_PAGE_HEADER_BYTES : _OGG_PAGE_HEADER_BYTES + segments])
    is_complete = len(page) >= _OGG_PAGE_HEADER_BYTES + segments + body
    return not (is_complete and page[5] & _OGG_END_OF_STREAM)


def _is_riff_cut(descriptor: int) -> bool:
    """FFmpeg computes a wav's length from the bytes that are there; its header tells more."""
    head = os.pread(descriptor, 8, 0)
    announced = int.from_bytes(head[4:8], "little")
    # 0 and the largest value are what writers put who could not seek back.
    if head[:4] != b"RIFF" or announced in (0, 0xFFFFFFFF):
        return False
    return os.fstat(descriptor).st_size + 1 < announced + 8


class FrameReader:
    """Native frames of the chosen stream, skipping and counting what does not decode."""

    def __init__(self, audio: OpenedAudio) -> None:
        self._audio = audio
        self.corrupt_packets = 0
        self.packets = 0

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], FrameLayout]]:
        for packet in self._packets():
            for frame in self._decode(packet):
                layout = _layout(frame)
                yield _values(frame, layout), layout

    def _packets(self) -> Iterator[Any]:
        packets = self._audio.container.demux(self._audio.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except MemoryError:
                raise
            except av.error.FFmpegError:
                # The demuxer cannot go on behind a fault of its own; drain the codec and stop.
                self.corrupt_packets += 1
                yield None
                return
            self.packets += 1
            yield packet

    def _decode(self, packet: Any) -> list[av.audio.frame.AudioFrame]:
        try:
            if packet is None:
                with contextlib.suppress(av.error.EOFError):
                    return list(self._audio.stream.codec_context.decode(None))
                return []
            return list(packet.decode())
        except MemoryError:
            raise
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.corrupt_packets += 1
            return []


def _layout(frame: av.audio.frame.AudioFrame) -> FrameLayout:
    layout = FrameLayout(frame.format.name, frame.sample_rate, frame.layout.nb_channels)
    is_usable = (
        layout.is_supported
        and 1 <= layout.channels <= formats.MAX_CHANNELS
        and formats.MIN_SAMPLE_RATE_HZ <= layout.sample_rate_hz <= formats.MAX_SAMPLE_RATE_HZ
    )
    if not is_usable:
        raise UnsupportedCodec()
    return layout


def _values(frame: av.audio.frame.AudioFrame, layout: FrameLayout) -> npt.NDArray[Any]:
    """Native values of a frame: [C, S] planar, [1, S * C] packed.

    Planes are counted by us: AudioFrame.planes (and to_ndarray) of PyAV 18 walk to a null pointer
    that is not there from eight planar channels on, and read foreign memory.
    """
    planes = layout.channels if layout.is_planar else 1
    count = frame.samples * layout.channels // planes
    make_plane: Any = av.audio.plane.AudioPlane
    dtype = _DTYPES[layout.value_format]
    return np.stack(
        [np.frombuffer(make_plane(frame, i), dtype=dtype, count=count) for i in range(planes)]
    )
