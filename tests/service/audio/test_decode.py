"""Real files of every kind through the real decoder process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soxr

from service.audio import AudioTags, DecodeError, cut_clips, decode_all, probe, stream_clips
from service.audio.errors import AudioTooShort
from tests.service.audio.conftest import AudioWriter, tone
from tests.service.audio.flac import write_silent_flac

# kind -> format and codec that we report, worst correlation with the tone that was encoded.
KINDS = {
    "mp3": ("mp3", "mp3", 0.99),
    "flac": ("flac", "flac", 0.99999),
    "ogg": ("ogg", "vorbis", 0.9),
    "opus": ("ogg", "opus", 0.98),
    "m4a": ("mp4", "aac", 0.98),
    "alac.m4a": ("mp4", "alac", 0.99999),
    "wav": ("wav", "pcm", 0.99999),
    "f32.wav": ("wav", "pcm", 0.99999),
    "f64.wav": ("wav", "pcm", 0.99999),
    "u8.wav": ("wav", "pcm", 0.999),
    "s24.wav": ("wav", "pcm", 0.99999),
    "aiff": ("aiff", "pcm", 0.99999),
    "webm": ("matroska", "opus", 0.98),
    "mka": ("matroska", "flac", 0.99999),
    "wma": ("asf", "wma", 0.98),
    "aac": ("aac", "aac", 0.98),
}


def reference(duration_s: float, rate_hz: int, channels: int) -> np.ndarray:
    mono = tone(duration_s, rate_hz, channels).mean(axis=0)
    return np.asarray(soxr.resample(mono, rate_hz, 24_000, quality="HQ"))


def best_correlation(decoded: np.ndarray, wanted: np.ndarray, max_lag: int = 2_500) -> float:
    """Correlation at the best lag: lossy codecs prepend up to 0.1 s."""
    start, size = 30_000, 6_000
    middle = wanted[start : start + size].astype(np.float64)
    span = decoded[start - max_lag : start + size + max_lag].astype(np.float64)
    energy = np.concatenate([[0.0], np.cumsum(span**2)])
    energies = energy[middle.size :] - energy[: energy.size - middle.size]
    products = np.correlate(span, middle, mode="valid")
    return float((products / np.sqrt(energies * np.sum(middle**2))).max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_probed_and_decoded(kind: str, write_audio: AudioWriter) -> None:
    path = write_audio(kind, 3.0)
    name, codec, least = KINDS[kind]
    found = probe(path)
    assert (found.format, found.codec) == (name, codec)
    assert (found.sample_rate_hz, found.channels) == (48_000, 2)
    audio = decode_all(path, max_duration_s=60.0)
    assert audio.summary.duration_s == pytest.approx(3.0, abs=0.1)
    assert audio.summary.corrupt_packets == 0
    assert not audio.summary.ended_early
    assert audio.samples.dtype == np.float32
    assert audio.samples.size == audio.summary.samples
    lags = 0 if least > 0.999 else 2_500
    assert best_correlation(audio.samples, reference(3.0, 48_000, 2), lags) > least


@pytest.mark.parametrize(
    ("rate_hz", "layout"),
    [
        (8_000, "mono"),
        (11_025, "stereo"),
        (22_050, "5.1"),
        (24_000, "stereo"),
        (24_000, "7.1"),
        (44_100, "mono"),
        (44_100, "stereo"),
        (96_000, "7.1"),
        (192_000, "stereo"),
    ],
)
def test_rates_and_channels_are_resampled_and_averaged(
    rate_hz: int, layout: str, write_audio: AudioWriter
) -> None:
    path = write_audio("f32.wav", 0.6, rate_hz, layout)
    audio = decode_all(path, max_duration_s=10.0)
    wanted = reference(0.6, rate_hz, audio.probe.channels)
    assert audio.samples.size == wanted.size == 14_400
    np.testing.assert_allclose(audio.samples, wanted, atol=2e-5)


def test_eight_planar_channels_are_read(write_audio: AudioWriter) -> None:
    # AAC decodes to planes; from eight on, PyAV's own conversion reads past the end.
    audio = decode_all(write_audio("m4a", 3.0, 48_000, "7.1"), max_duration_s=10.0)
    assert audio.probe.channels == 8
    # Not more, because the codec keeps only the lowest tones of the bass channel.
    assert best_correlation(audio.samples, reference(3.0, 48_000, 8)) > 0.85


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg", "opus", "m4a", "mka"])
def test_tags_are_read_from_the_file(kind: str, write_audio: AudioWriter) -> None:
    tags = {
        "title": "Für Elise",
        "artist": "Ludwig",
        "album": "Bagatellen",
        "genre": "Classical",
        "date": "1867-01-01",
    }
    found = probe(write_audio(kind, 1.0, tags=tags))
    assert found.tags == AudioTags(
        title="Für Elise", artist="Ludwig", album="Bagatellen", genre="Classical", year=1867
    )


def test_clips_peaks_and_summary_come_from_one_pass(write_audio: AudioWriter) -> None:
    path = write_audio("flac", 25.0, 44_100)
    with stream_clips(path) as stream:
        with pytest.raises(RuntimeError, match="not been read"):
            _ = stream.summary
        with pytest.raises(RuntimeError, match="not been read"):
            _ = stream.peaks
        clips = list(stream)
    whole = decode_all(path, max_duration_s=60.0).samples
    expected = cut_clips(whole, 24_000)
    assert [(c.start_s, c.end_s) for c in clips] == [(0.0, 10.0), (10.0, 20.0), (20.0, 25.0)]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(clips, expected, strict=True))
    assert stream.summary.samples == 600_000
    assert stream.peaks.shape == (800,)
    assert stream.peaks.max() == pytest.approx(np.abs(whole).max() * 255, abs=1)


def test_decoding_stops_at_the_cap(write_audio: AudioWriter) -> None:
    path = write_audio("flac", 5.0)
    capped = decode_all(path, max_duration_s=2.5)
    assert (capped.summary.samples, capped.summary.truncated_at_cap) == (60_000, True)
    assert not capped.summary.ended_early
    whole = decode_all(path, max_duration_s=5.0)
    assert (whole.summary.samples, whole.summary.truncated_at_cap) == (120_000, False)
    assert np.array_equal(capped.samples, whole.samples[:60_000])


def test_another_rate_and_clip_length_can_be_asked_for(write_audio: AudioWriter) -> None:
    with stream_clips(write_audio("wav", 3.0), sample_rate_hz=16_000, clip_s=2.0) as stream:
        assert [clip.samples.size for clip in stream] == [32_000, 32_000]
        assert stream.summary.samples == 48_000


def test_audio_below_the_least_duration_is_refused(write_audio: AudioWriter) -> None:
    with pytest.raises(AudioTooShort) as error:
        decode_all(write_audio("wav", 0.05), max_duration_s=1.0)
    assert error.value.reason == "audio_too_short"


def test_a_container_without_samples_is_too_short(write_audio: AudioWriter) -> None:
    path = write_audio("wav", 1.0)
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 8
    data[start - 4 : start] = bytes(4)
    path.write_bytes(data[:start])
    for call in (probe, lambda p: decode_all(p, max_duration_s=1.0)):
        with pytest.raises(DecodeError) as error:
            call(path)
        assert error.value.reason == "audio_too_short"


def test_a_big_cover_picture_hides_neither_mp3_nor_flac(
    write_audio: AudioWriter, tmp_path: Path
) -> None:
    size = 3_000_000
    digits = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    for kind in ("mp3", "flac"):
        path = tmp_path / f"tagged-{kind}"
        path.write_bytes(
            b"ID3\x04\x00\x00" + digits + bytes(size) + write_audio(kind, 2.0).read_bytes()
        )
        audio = decode_all(path, max_duration_s=10.0)
        assert audio.probe.format == kind
        assert audio.summary.duration_s == pytest.approx(2.0, abs=0.01)


def test_streams_run_side_by_side(write_audio: AudioWriter) -> None:
    paths = [write_audio("flac", 1.0 + i) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda p: decode_all(p, max_duration_s=9.0).samples.size, paths))
    assert sizes == [24_000, 48_000, 72_000, 96_000]


def test_the_silent_flac_of_these_tests_is_a_valid_one(tmp_path: Path) -> None:
    path = write_silent_flac(tmp_path / "short.flac", 3.0)
    audio = decode_all(path, max_duration_s=10.0)
    assert audio.summary.samples == 72_000
    assert audio.summary.corrupt_packets == 0
    assert not audio.samples.any()


def test_the_service_never_loads_a_parser_of_audio() -> None:
    code = (
        "import sys, service.audio; print([m for m in ('av', 'soxr', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
