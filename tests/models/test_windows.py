import numpy as np
import pytest

from models.audio.windows import cut_windows, is_repeated_once

RATE_HZ = 10
WINDOW = 100


def track(samples: int) -> np.ndarray:
    return np.arange(1, samples + 1, dtype=np.float32)


def test_whole_windows_are_consecutive_and_unwrapped() -> None:
    windows = list(cut_windows(track(300), WINDOW, RATE_HZ))
    assert [(w.start_s, w.end_s) for w in windows] == [(0, 10), (10, 20), (20, 30)]
    assert np.array_equal(np.concatenate([w.samples for w in windows]), track(300))


def test_one_sample_more_costs_a_window_completed_from_the_start() -> None:
    windows = list(cut_windows(track(101), WINDOW, RATE_HZ))
    assert len(windows) == 2
    assert windows[1].samples[0] == 101
    assert np.array_equal(windows[1].samples[1:], track(101)[:99])
    assert windows[1].end_s == 10.1


@pytest.mark.parametrize(("samples", "length"), [(1, 2), (49, 98), (50, 100), (75, 100), (99, 100)])
def test_short_tracks_wrap_once(samples: int, length: int) -> None:
    (window,) = cut_windows(track(samples), WINDOW, RATE_HZ)
    assert window.samples.shape == (length,)
    wrapped = length - samples
    assert np.array_equal(
        window.samples, np.concatenate([track(samples), track(samples)[:wrapped]])
    )
    assert is_repeated_once(window.samples) == (length == 2 * samples)


def test_an_empty_track_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        list(cut_windows(track(0), WINDOW, RATE_HZ))


def test_repetition_is_told_from_other_short_audio() -> None:
    assert not is_repeated_once(track(80))
    assert not is_repeated_once(np.ones(7, dtype=np.float32))
    assert not is_repeated_once(np.ones(0, dtype=np.float32))
