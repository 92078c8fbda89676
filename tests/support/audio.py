"""Real audio files for tests, written with PyAV in the codec that the suffix asks for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

# suffix -> encoder, sample format
CODECS = {
    ".wav": ("pcm_s16le", "s16"),
    ".flac": ("flac", "s16"),
    ".mp3": ("libmp3lame", "fltp"),
    ".ogg": ("vorbis", "fltp"),
    ".opus": ("libopus", "flt"),
    ".m4a": ("aac", "fltp"),
}
FRAME = 1024


def write_audio(
    path: Path,
    samples: NDArray[np.float32],
    sample_rate_hz: int,
    *,
    tags: dict[str, str] | None = None,
) -> Path:
    """Encode samples [T] or [C, T] in -1..1 to `path`, with container tags."""
    channels = np.atleast_2d(samples).astype(np.float32)
    codec, sample_format = CODECS[path.suffix]
    if codec == "vorbis" and channels.shape[0] == 1:
        channels = np.repeat(channels, 2, axis=0)  # FFmpeg's own encoder writes stereo alone
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels.shape[0]]
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(
            codec, rate=sample_rate_hz, options={"strict": "experimental"}
        )
        stream.layout = layout
        resampler = av.AudioResampler(format=sample_format, layout=layout, rate=sample_rate_hz)
        size = stream.codec_context.frame_size or FRAME
        fifo = av.AudioFifo()
        frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
        frame.sample_rate = sample_rate_hz
        frame.pts, frame.time_base = 0, Fraction(1, sample_rate_hz)
        for converted in resampler.resample(frame):
            fifo.write(converted)
        while (piece := fifo.read(size)) is not None or (
            piece := fifo.read(0, partial=True)
        ) is not None:
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path
