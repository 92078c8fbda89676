"""Cached mels and the crops that are drawn from them."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from models.audio.filterbank import mel_frequencies_hz
from models.audio.mel_numpy import log_mel
from models.networks.config import MelConfig
from models.training.augment import AugmentConfig, BatchPart, add_noise, augment, cut_holes
from models.training.data import CropPhase, CropSampler, phase_at
from models.training.decode import DecodeError, decode_mono
from models.training.file_mels import FileMels
from models.training.manifest import ManifestEntry
from models.training.mel_cache import MelCache, MelCacheError, build_mel_cache, mel_frames
from models.training.mel_rvq import train_mel_rvq
from models.training.recipes import mel_rvq_tiny
from models.training.settings import override
from tests.support.audio import write_audio
from tests.training.tiny_corpus import make_tiny_corpus

RATE_HZ = 24_000
FLOOR = (-100.0 - 6.768444971712967) / 18.417922652295623


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def entry(path: Path, name: str, duration_s: float, split: str = "train") -> ManifestEntry:
    return ManifestEntry(
        id=name, path=path.name, duration_s=duration_s, split=split, group=name,  # type: ignore[arg-type]
        source="noise", sha256=hashlib.sha256(path.read_bytes()).hexdigest(), title=None,
        artist=None, licence="CC0-1.0", attribution="",
    )  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, list[ManifestEntry]]:
    rng = np.random.default_rng(0)
    entries = []
    for number, duration_s in enumerate((1.5, 4.0, 8.0, 2.5)):
        level = 10.0 ** rng.uniform(-3, -0.5)
        samples = level * rng.normal(size=int(duration_s * RATE_HZ))
        path = tmp_path / f"{number}.wav"
        write_wav(path, samples)
        entries.append(entry(path, f"t{number}", duration_s, "valid" if number == 3 else "train"))
    return tmp_path, entries


def test_chunked_mels_equal_the_front_end_on_the_whole_track() -> None:
    samples = np.random.default_rng(0).normal(size=RATE_HZ * 125 + 77).astype(np.float32) * 0.1
    whole = log_mel(samples[None])[0].T
    np.testing.assert_allclose(mel_frames(samples), whole, atol=1e-5)


@pytest.mark.parametrize(("storage", "bound"), [("int8", 0.025 + 1e-6), ("float16", 0.004)])
def test_cache_round_trip_keeps_the_stated_error(
    corpus: tuple[Path, list[ManifestEntry]], tmp_path: Path, storage: str, bound: float
) -> None:
    root, entries = corpus
    assert build_mel_cache(entries, root, tmp_path / "mels", storage) == []  # type: ignore[arg-type]
    cache = MelCache(tmp_path / "mels")
    for item in entries:
        exact = log_mel(decode_mono(root / item.path)[None])[0].T
        assert cache.frames(item.sha256) == len(exact)
        stored = cache.read(item.sha256, 0, len(exact))
        assert np.abs(stored - exact).max() <= bound


def test_cache_resumes_after_an_interruption(
    corpus: tuple[Path, list[ManifestEntry]], tmp_path: Path
) -> None:
    root, entries = corpus
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    build_mel_cache(entries, root, whole)
    build_mel_cache(entries[:2], root, parts)
    with (parts / "shard-0.bin").open("ab") as data:
        data.write(b"half a track that was never listed")
    build_mel_cache(entries, root, parts)
    for item in entries:
        frames = MelCache(whole).frames(item.sha256)
        expected = MelCache(whole).read(item.sha256, 0, frames)
        np.testing.assert_array_equal(MelCache(parts).read(item.sha256, 0, frames), expected)
    with pytest.raises(MelCacheError, match="other settings"):
        build_mel_cache(entries, root, parts, "float16")


def test_a_file_that_is_not_audio_is_named_not_fatal(
    corpus: tuple[Path, list[ManifestEntry]], tmp_path: Path
) -> None:
    root, entries = corpus
    (root / "text.wav").write_text("not audio at all")
    bad = entry(root / "text.wav", "text", 3.0)
    assert build_mel_cache([*entries, bad], root, tmp_path / "mels") == ["text"]
    with pytest.raises(DecodeError):
        decode_mono(root / "text.wav")


def test_stereo_is_averaged_and_resampled(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    write_wav(tmp_path / "s.wav", np.stack([tone, np.zeros_like(tone)], axis=1), 44_100)
    mono = decode_mono(tmp_path / "s.wav")
    assert len(mono) == pytest.approx(RATE_HZ, abs=2)
    assert np.abs(mono[2000:-2000]).max() == pytest.approx(0.25, abs=0.003)


def test_crops_depend_on_seed_and_position_alone(
    corpus: tuple[Path, list[ManifestEntry]], tmp_path: Path
) -> None:
    root, entries = corpus
    build_mel_cache(entries, root, tmp_path / "mels")
    cache = MelCache(tmp_path / "mels")
    sampler = CropSampler(entries, cache, "train", seed=3)
    sampler.draw(0, 2, 100)
    crops = sampler.draw(5, 3, 200)
    again = CropSampler(entries, cache, "train", seed=3).draw(5, 3, 200)
    np.testing.assert_array_equal(crops.tracks, again.tracks)
    np.testing.assert_array_equal(crops.starts, again.starts)
    assert sorted(crops.tracks) == [0, 1, 2]  # distinct while there are enough tracks
    assert sampler.draw(5, 7, 200).tracks.shape == (7,)
    mels = sampler.read(crops)
    assert mels.shape == (3, 128, 200)
    for row, (track, start) in enumerate(zip(crops.tracks, crops.starts, strict=True)):
        frames = cache.read(entries[track].sha256, 0, cache.frames(entries[track].sha256))
        wanted = frames[(start + np.arange(200)) % len(frames)]  # 1.5 s wraps to fill 2 s
        np.testing.assert_array_equal(mels[row].numpy().T, wanted)
    assert [e.id for e in CropSampler(entries, cache, "valid", 0).entries] == ["t3"]
    with pytest.raises(ValueError, match="no track of the test split"):
        CropSampler(entries, cache, "test", 0)


def test_gain_of_a_mel_is_gain_of_the_audio() -> None:
    rng = np.random.default_rng(0)
    audio = 0.01 * rng.normal(size=(1, RATE_HZ)).astype(np.float32)
    mels = torch.from_numpy(log_mel(audio))
    louder = augment(mels, AugmentConfig(gain_db=20.0), seed=1, position=0)
    gain_db = float((louder - mels).mean()) * 18.417922652295623
    assert 1.0 < abs(gain_db) <= 20.0
    exact = log_mel(audio * np.float32(10 ** (gain_db / 20)))
    np.testing.assert_allclose(louder.numpy(), exact, atol=2e-3)


def test_silence_stays_silent_and_nothing_falls_below_the_floor() -> None:
    silent = torch.full((8, 128, 50), FLOOR)
    config = AugmentConfig(gain_db=20.0, tilt_db=6.0)
    assert torch.equal(augment(silent, config, 0, 0), silent)
    quiet = silent + 0.2
    assert float(augment(quiet, config, 0, 0).min()) >= FLOOR - 1e-6


def test_masks_are_drawn_from_the_position() -> None:
    mels = torch.randn(4, 128, 300)
    config = AugmentConfig(time_masks=2, band_masks=2)
    assert torch.equal(augment(mels, config, 0, 1), augment(mels, config, 0, 1))
    assert not torch.equal(augment(mels, config, 0, 1), augment(mels, config, 0, 2))
    assert torch.equal(augment(mels, AugmentConfig(), 0, 1), mels)


def test_added_noise_is_noise_of_the_audio() -> None:
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    music = (0.2 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)[None]
    mels = torch.from_numpy(log_mel(music))
    noisy = add_noise(mels, torch.full((1, 128, 1), -20.0))
    std_db, mean_db = 18.417922652295623, 6.768444971712967

    def power(values: torch.Tensor) -> torch.Tensor:
        return torch.pow(10.0, (values * std_db + mean_db) / 10.0)

    added = power(noisy) - power(mels)
    expected = float(power(mels).mean()) * 10 ** (-20.0 / 10)
    assert float(added.mean()) == pytest.approx(expected, rel=1e-3)
    silence = torch.full((1, 128, 1), float("-inf"))
    torch.testing.assert_close(add_noise(mels, silence), mels, atol=1e-4, rtol=0)


def test_a_low_pass_leaves_the_floor_above_its_cutoff() -> None:
    mels = torch.randn(64, 128, 40)
    config = AugmentConfig(low_pass_chance=0.5, low_pass_hz=6000.0)
    passed = augment(mels, config, seed=0, position=3)
    changed = [row for row in range(64) if not torch.equal(passed[row], mels[row])]
    assert 16 < len(changed) < 48
    kept_bins = mel_frequencies_hz(MelConfig()) < 6000.0
    for row in range(64):
        np.testing.assert_array_equal(passed[row][kept_bins], mels[row][kept_bins])
    for row in changed:
        assert float(passed[row, -1].max()) == pytest.approx(FLOOR, abs=1e-5)


def test_an_equaliser_shifts_whole_bins_within_its_bound() -> None:
    mels = torch.randn(16, 128, 40)
    shifts = (
        augment(mels, AugmentConfig(eq_db=6.0), seed=0, position=1) - mels
    ) * 18.417922652295623
    assert float(shifts.abs().max()) <= 6.0 + 1e-3
    torch.testing.assert_close(shifts, shifts[:, :, :1].expand_as(shifts), atol=1e-3, rtol=0)
    assert float(shifts[:, :, 0].std(dim=1).min()) > 0.1


def test_holes_are_cut_where_it_is_quiet_and_high() -> None:
    high = torch.from_numpy(mel_frequencies_hz(MelConfig()) >= 4000.0)
    mels = torch.zeros(2, 128, 3)
    mels[:, 5] += 20.0 / MelConfig().std_db
    mels[:, :, 1] -= 40.0 / MelConfig().std_db
    depths = torch.tensor([25.0, float("inf")])[:, None, None]
    # Depth counts from the loudest bin of the frame itself, so a quiet frame is not cut for that.
    assert torch.equal(cut_holes(mels, depths), mels)
    cut = cut_holes(mels, depths - 10.0)
    assert torch.equal(cut[1], mels[1])
    torch.testing.assert_close(cut[0][high], torch.full_like(cut[0][high], FLOOR))
    assert torch.equal(cut[0][~high], mels[0][~high])
    config = AugmentConfig(holes_chance=0.5)
    varied = augment(mels[:1].repeat(40, 1, 1) * 4.0, config, seed=0, position=0)
    changed = (varied != mels[:1] * 4.0).any(dim=(1, 2)).float().mean()
    assert 0.2 < float(changed) < 0.8


def test_every_augmentation_of_a_part_is_that_of_the_whole_batch() -> None:
    mels = torch.randn(8, 128, 60)
    config = AugmentConfig(
        gain_db=20.0, tilt_db=3.0, eq_db=4.0, noise_chance=0.7, low_pass_chance=0.7,
        holes_chance=0.7, time_masks=1, band_masks=1,
    )  # fmt: skip
    whole = augment(mels, config, seed=5, position=2)
    part = augment(mels[3:6], config, 5, 2, BatchPart(3, 6, 8))
    torch.testing.assert_close(part, whole[3:6], atol=0, rtol=0)
    with pytest.raises(ValueError, match="chances"):
        AugmentConfig(noise_chance=1.5)


def test_phases_end_where_they_say() -> None:
    phases = (CropPhase(10, 3.0, 8), CropPhase(20, 10.0, 2))
    assert [phase_at(phases, update).batch_size for update in (0, 9, 10, 19, 50)] == [8, 8, 2, 2, 2]


@pytest.mark.parametrize(
    ("suffix", "rate_hz"),
    [(".wav", 24_000), (".flac", 44_100), (".ogg", 44_100), (".opus", 24_000), (".mp3", 44_100)],
)
def test_crops_by_seeking_are_those_of_the_whole_file(
    tmp_path: Path, suffix: str, rate_hz: int
) -> None:
    rng = np.random.default_rng(0)
    time_s = np.arange(20 * rate_hz) / rate_hz
    # A pitch that rises by the second: every crop is unlike the others.
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 60 * time_s) * time_s) + 0.01 * rng.normal(
        size=len(time_s)
    )
    path = write_audio(tmp_path / f"sweep{suffix}", sweep.astype(np.float32), rate_hz)
    listed = [entry(path, "sweep", 20.0)]
    whole = mel_frames(decode_mono(path))
    files = FileMels(listed, tmp_path)
    for start in (0, 30, 777, 1500):
        crop = files.read(listed[0].sha256, start, 300)
        assert crop.shape == (300, 128)
        exact = suffix in (".wav", ".flac")
        error = np.abs(crop - whole[start : start + 300])
        if exact:
            assert float(np.quantile(error, 0.999)) < 1e-2
        else:
            assert float(error.mean()) < 0.1  # a lossy decoder starts from another state


def test_crops_of_files_wrap_as_cached_ones_do(tmp_path: Path) -> None:
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    path = write_audio(
        tmp_path / "short.wav", (0.3 * np.sin(600 * time_s**2)).astype(np.float32), RATE_HZ
    )
    listed = [entry(path, "short", 3.0)]
    whole = mel_frames(decode_mono(path))
    files = FileMels(listed, tmp_path)
    crop = files.read(listed[0].sha256, 100, 500)
    np.testing.assert_allclose(crop, whole[(100 + np.arange(500)) % 300], atol=1e-4)
    many = files.read_many([listed[0].sha256] * 3, [0, 10, 20], 50)
    np.testing.assert_allclose(many[2], whole[20:70], atol=5e-2)
    (tmp_path / "short.wav").write_bytes(b"not audio at all")
    with pytest.raises(DecodeError):
        files.read(listed[0].sha256, 0, 10)


def test_a_stage_trains_from_the_files_as_from_their_cache(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    corpus = make_tiny_corpus(tmp_path)
    losses = []
    for name, cache in (("cached", str(corpus.cache)), ("files", "")):
        settings = [f"data.manifest={corpus.manifest}", f"data.cache={cache}"]
        result = train_mel_rvq(override(mel_rvq_tiny(), settings), tmp_path / name, "tiny", False)
        losses.append(result.validation["reconstruction"])
    # int8 frames are off by up to half a step of 0.05.
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
