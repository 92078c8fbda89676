"""The clip rule: published windows for whole tracks, full windows always, any chunking alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.clips import ClipCutter, batch_clips, cut_clips

RATE_HZ = 4
CLIP_S = 2.0
WINDOW = 8


def track(length: int) -> np.ndarray:
    return np.arange(1, length + 1, dtype=np.float32)


def published_windows(samples: np.ndarray, window: int) -> list[np.ndarray]:
    """The rule as the fact sheet states it: whole windows, then the rest and the track's start."""
    whole = len(samples) // window
    windows = [samples[i * window : (i + 1) * window] for i in range(whole)]
    rest = samples[whole * window :]
    if len(rest):
        windows.append(np.concatenate([rest, samples[: window - len(rest)]]))
    return windows


@settings(deadline=None)
@given(length=st.integers(WINDOW // 2, 60))
def test_windows_are_the_published_ones_from_half_a_window_on(length: int) -> None:
    clips = cut_clips(track(length), RATE_HZ, CLIP_S)
    expected = published_windows(track(length), WINDOW)
    assert [clip.samples.tolist() for clip in clips] == [window.tolist() for window in expected]


@settings(deadline=None)
@given(length=st.integers(1, WINDOW // 2))
def test_shorter_tracks_repeat_and_begin_with_the_published_window(length: int) -> None:
    (clip,) = cut_clips(track(length), RATE_HZ, CLIP_S)
    assert clip.samples.tolist() == [float(i % length + 1) for i in range(WINDOW)]
    (published,) = published_windows(track(length), WINDOW)
    assert clip.samples[: clip.published_samples].tolist() == published.tolist()


@settings(deadline=None)
@given(length=st.integers(0, 60), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_any_chunking_gives_the_clips_of_the_whole(length: int, cuts: list[int]) -> None:
    whole = cut_clips(track(length), RATE_HZ, CLIP_S)
    cutter = ClipCutter(RATE_HZ, CLIP_S)
    chunks = np.split(track(length), sorted(min(cut, length) for cut in cuts))
    chunked = [clip for chunk in chunks for clip in cutter.push(chunk)] + cutter.finish()
    assert [(c.index, c.start_s, c.end_s, c.own_samples, c.samples.tolist()) for c in chunked] == [
        (c.index, c.start_s, c.end_s, c.own_samples, c.samples.tolist()) for c in whole
    ]


@settings(deadline=None)
@given(length=st.integers(0, 60))
def test_clips_cover_the_track_once_in_order(length: int) -> None:
    clips = cut_clips(track(length), RATE_HZ, CLIP_S)
    own = np.concatenate([np.empty(0), *(clip.samples[: clip.own_samples] for clip in clips)])
    assert own.tolist() == track(length).tolist()
    assert all(clip.samples.shape == (WINDOW,) for clip in clips)
    assert [clip.index for clip in clips] == list(range(len(clips)))
    assert [clip.start_s for clip in clips] == [i * CLIP_S for i in range(len(clips))]
    assert [clip.end_s for clip in clips[:-1]] == [clip.start_s for clip in clips[1:]]
    if clips:
        assert clips[-1].end_s == pytest.approx(length / RATE_HZ)


def test_ten_seconds_and_one_sample_cost_a_second_window() -> None:
    samples = np.random.default_rng(0).standard_normal(240_001).astype(np.float32)
    first, second = cut_clips(samples, 24_000)
    assert np.array_equal(first.samples, samples[:240_000])
    assert np.array_equal(second.samples, np.append(samples[-1], samples[:239_999]))
    assert second.own_samples == 1


def test_writing_into_a_clip_does_not_change_the_wrapped_one() -> None:
    cutter = ClipCutter(RATE_HZ, CLIP_S)
    for clip in cutter.push(track(WINDOW + 1)):
        clip.samples[:] = -1.0
    (last,) = cutter.finish()
    assert last.samples.tolist() == [9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


@settings(deadline=None)
@given(length=st.integers(0, 60), batch_size=st.integers(1, 5))
def test_batches_hold_the_clips_in_order(length: int, batch_size: int) -> None:
    clips = cut_clips(track(length), RATE_HZ, CLIP_S)
    batches = list(batch_clips(clips, batch_size))
    assert [i for batch in batches for i in batch.indexes.tolist()] == list(range(len(clips)))
    assert all(batch.samples.shape == (len(batch.indexes), WINDOW) for batch in batches)
    assert all(len(batch.indexes) == batch_size for batch in batches[:-1])
    starts = [s for batch in batches for s in batch.starts_s.tolist()]
    assert starts == [clip.start_s for clip in clips]


def test_nonsense_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one sample"):
        ClipCutter(RATE_HZ, 0.0)
    with pytest.raises(ValueError, match="batch_size"):
        list(batch_clips([], 0))
