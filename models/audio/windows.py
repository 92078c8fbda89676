"""Cutting a track into the windows that are embedded: the one place where this rule is applied.

Legend: T samples of a track, W samples of a window.

As published: consecutive windows; a last one that is too short is completed with the start of the
track, not with silence. A track shorter than half a window gives one window of twice its own
length, since it is repeated once and no more. Departure: none; `models.audio.samples` holds the
plan, this file the samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.audio.samples import Window, plan_windows

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class CutWindow:
    """A window's samples [W], and where its own part (without what was wrapped) lies."""

    samples: Samples
    start_s: float
    end_s: float


def cut_windows(track: Samples, window_samples: int, sample_rate_hz: int) -> Iterator[CutWindow]:
    """The windows of a track [T], in order; all are [window_samples] but that of a short track.

    Raises ValueError for an empty track.
    """
    for window in plan_windows(track.shape[0], window_samples):
        yield CutWindow(
            samples=take_window(track, window),
            start_s=window.start / sample_rate_hz,
            end_s=window.stop / sample_rate_hz,
        )


def take_window(track: Samples, window: Window) -> Samples:
    """The samples of one planned window of a track [T]; a view where nothing wraps."""
    own = track[window.start : window.stop]
    if window.wrapped == 0:
        return own
    return np.concatenate([own, track[: window.wrapped]])


def is_repeated_once(samples: Samples) -> bool:
    """Whether samples [..., T] are a short track repeated once, as `plan_windows` completes it."""
    half, odd = divmod(samples.shape[-1], 2)
    return half > 0 and not odd and np.array_equal(samples[..., :half], samples[..., half:])
