"""Decode a stretch of a file by seeking, without decoding what lies before it.

Legend: T samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from models.training.decode import mono_samples

# Codecs have settled by then, and what is cut out of a stretch lies well inside of it.
PREROLL_S = 0.5


@dataclass(frozen=True)
class NativeSpan:
    """Mono samples [T] at the file's own rate; the first of them lies at second `first_s`."""

    samples: NDArray[np.float32]
    rate_hz: int
    first_s: float


def decode_span(
    container: av.container.InputContainer, start_s: float, length_s: float
) -> NativeSpan:
    """Decode at least `length_s` seconds from `start_s`, and half a second on either side.

    Less where the file begins or ends, none behind its end. Seconds count from the first sample.
    Stretches of one opened file must be asked for in their order. Corrupt packets are skipped;
    raises av.FFmpegError for what cannot be read at all.
    """
    stream = container.streams.audio[0]
    rate_hz, first_s, have = int(stream.rate), 0.0, 0
    # Clocks of files with an encoder's delay do not begin at 0.
    begin_s = float((stream.start_time or 0) * (stream.time_base or 0))
    if start_s > PREROLL_S:
        container.seek(int((begin_s + start_s - PREROLL_S) * av.time_base))
    parts: list[NDArray[np.float32]] = []
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue  # as in decode_mono: a corrupt packet must not cost the file
        for frame in frames:
            if not parts and frame.time is not None:
                first_s = float(frame.time) - begin_s
            parts.append(mono_samples(frame))
            have += len(parts[-1])
        if have >= (start_s + length_s + PREROLL_S - first_s) * rate_hz:
            break
    joined = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    return NativeSpan(joined, rate_hz, first_s)
