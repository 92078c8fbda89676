"""Native frames to the model's stream: mean over channels, scale, rate, repair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.pcm import MAX_ABS_SAMPLE, FrameLayout, PcmPipeline, mix_to_mono, repair

FORMATS: dict[str, tuple[Any, float, float]] = {
    "u8": (np.uint8, 128.0, 128.0),
    "s16": (np.int16, 32_768.0, 0.0),
    "s32": (np.int32, 2_147_483_648.0, 0.0),
    "flt": (np.float32, 1.0, 0.0),
    "dbl": (np.float64, 1.0, 0.0),
}


def run(pipeline: PcmPipeline, *frames: tuple[np.ndarray, FrameLayout]) -> np.ndarray:
    blocks = [block for values, layout in frames for block in pipeline.push(values, layout)]
    return np.concatenate([*blocks, *pipeline.flush()])


@pytest.mark.parametrize("value_format", FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_every_sample_format_is_averaged_and_scaled(value_format: str, channels: int) -> None:
    dtype, scale, zero = FORMATS[value_format]
    wanted = np.random.default_rng(1).uniform(-0.9, 0.9, (channels, 500))
    native = (wanted * scale + zero).astype(dtype)
    exact = ((native.astype(np.float64) - zero) / scale).mean(axis=0)
    planar = FrameLayout(value_format + "p", 24_000, channels)
    packed = FrameLayout(value_format, 24_000, channels)
    np.testing.assert_allclose(mix_to_mono(native, planar), exact, atol=1e-6)
    interleaved = np.ascontiguousarray(native.T).reshape(1, -1)
    np.testing.assert_allclose(mix_to_mono(interleaved, packed), exact, atol=1e-6)


def test_one_sided_stereo_is_halved_not_scaled_by_root_two() -> None:
    left_only = np.stack([np.full(10, 0.8), np.zeros(10)]).astype(np.float32)
    np.testing.assert_allclose(mix_to_mono(left_only, FrameLayout("fltp", 24_000, 2)), 0.4)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 44_100), max_size=6))
def test_any_framing_equals_resampling_the_whole(cuts: list[int]) -> None:
    mono = np.random.default_rng(2).uniform(-0.5, 0.5, 44_100).astype(np.float32)
    layout = FrameLayout("fltp", 44_100, 1)
    frames = [(part[None, :], layout) for part in np.split(mono, sorted(cuts))]
    result = run(PcmPipeline(24_000), *frames)
    whole = soxr.resample(mono, 44_100, 24_000, quality="HQ")
    assert result.size == whole.size == 24_000
    np.testing.assert_allclose(result, whole, atol=1e-5)


def test_a_change_of_layout_in_mid_stream_drains_and_goes_on() -> None:
    first = np.full((1, 48_000), 0.25, dtype=np.float32)
    second = np.full((2, 22_050), 0.5, dtype=np.float32)
    pipeline = PcmPipeline(24_000)
    result = run(
        pipeline,
        (first, FrameLayout("fltp", 48_000, 1)),
        (second, FrameLayout("fltp", 22_050, 2)),
    )
    assert result.size == 48_000
    assert pipeline.source_duration_s == pytest.approx(2.0)
    np.testing.assert_allclose(result[2_000:22_000], 0.25, atol=1e-3)
    np.testing.assert_allclose(result[26_000:46_000], 0.5, atol=1e-3)


def test_repair_silences_what_is_not_finite_and_bounds_the_rest() -> None:
    mono = np.array([0.5, np.nan, np.inf, -np.inf, 4.25, -9.0], dtype=np.float32)
    repaired, broken = repair(mono)
    assert repaired.tolist() == [0.5, 0.0, 0.0, 0.0, MAX_ABS_SAMPLE, -MAX_ABS_SAMPLE]
    assert broken == 3


def test_values_beyond_float32_do_not_warn_and_are_counted() -> None:
    pipeline = PcmPipeline(24_000)
    values = np.array([[1e300, 0.5]])
    result = run(pipeline, (values, FrameLayout("dblp", 24_000, 1)))
    assert result.tolist() == [0.0, 0.5]
    assert pipeline.non_finite_samples == 1


def test_an_overshoot_of_a_loud_master_passes_untouched() -> None:
    repaired, broken = repair(np.array([1.3, -1.2], dtype=np.float32))
    assert repaired.tolist() == pytest.approx([1.3, -1.2])
    assert broken == 0
