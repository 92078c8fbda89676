"""Waveform peaks: exact where it can be checked, the same for any chunking, nothing lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.peaks import PEAK_COUNT, PeakBuilder


def peaks_of(*blocks: np.ndarray) -> np.ndarray:
    builder = PeakBuilder()
    for block in blocks:
        builder.add(block)
    return builder.finish()


def noise(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)


def test_peaks_of_a_multiple_of_the_count_are_exact() -> None:
    samples = noise(PEAK_COUNT * 1024)
    expected = np.abs(samples).reshape(PEAK_COUNT, -1).max(axis=1)
    assert np.array_equal(peaks_of(samples), np.rint(expected * 255))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, 40_000), cuts=st.lists(st.integers(0, 40_000), max_size=8))
def test_any_chunking_gives_the_same_peaks(length: int, cuts: list[int]) -> None:
    samples = noise(length)
    chunks = np.split(samples, sorted(min(cut, length) for cut in cuts))
    assert np.array_equal(peaks_of(*chunks), peaks_of(samples))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 100_000), data=st.data())
def test_a_click_is_seen_where_it_is(length: int, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, length - 1))
    samples = np.zeros(length, dtype=np.float32)
    samples[position] = -1.0
    peaks = peaks_of(samples)
    assert peaks[position * PEAK_COUNT // length] == 255
    # Widened by less than one inner bucket on either side, an eighth to a quarter of a bucket.
    assert np.count_nonzero(peaks) <= max(3, PEAK_COUNT // length + 2)


def test_loud_samples_saturate_and_no_samples_are_silence() -> None:
    assert peaks_of(np.full(10, 1.7, dtype=np.float32)).tolist() == [255] * PEAK_COUNT
    assert peaks_of().tolist() == [0] * PEAK_COUNT


def test_an_hour_takes_constant_memory() -> None:
    builder = PeakBuilder()
    block = noise(24_000)
    for _ in range(3600):
        builder.add(block)
    assert builder._peaks.size == 8 * PEAK_COUNT
    assert builder.finish().min() > 200
