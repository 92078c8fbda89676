"""The streaming cutter of the service cuts where the models' window rule says."""

from __future__ import annotations

import numpy as np
import pytest

from models.audio.windows import cut_windows
from service.audio.clips import ClipCutter

WINDOW = 2400
RATE_HZ = 240


@pytest.mark.parametrize("samples", [1, 700, 1200, 1201, 2399, 2400, 2401, 4800, 5000, 9999])
@pytest.mark.parametrize("block", [1, 37, 2400, 5000])
def test_streamed_and_whole_tracks_are_cut_alike(samples: int, block: int) -> None:
    track = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    cutter = ClipCutter(RATE_HZ, WINDOW / RATE_HZ)
    blocks = [track[first : first + block] for first in range(0, samples, block)]
    clips = [clip for piece in blocks for clip in cutter.push(piece)] + cutter.finish()
    windows = list(cut_windows(track, WINDOW, RATE_HZ))
    assert len(clips) == len(windows)
    for clip, window in zip(clips, windows, strict=True):
        # A track under half a window is repeated once by the published rule, on and on by the
        # service, whose windows are all of one length; the published part comes first.
        assert np.array_equal(clip.samples[: clip.published_samples], window.samples)
        assert clip.start_s == pytest.approx(window.start_s)
        assert clip.end_s == pytest.approx(window.end_s)
