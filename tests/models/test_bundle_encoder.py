"""What a loaded bundle computes, in both runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import models
from models.bundle.disk import read_manifest
from models.bundle.encoder import BundleEncoder
from models.bundle.golden import golden_clip
from models.bundle.onnx_towers import OnnxTowers
from models.errors import (
    AudioTooShortError,
    BundleFormatError,
    EmptyTextError,
    InputError,
    NonFiniteAudioError,
    RuntimeUnavailableError,
    TextTooLongError,
    WindowLengthError,
)
from models.interface import MusicTextEncoder

TINY = Path(__file__).parent.parent / "data" / "tiny_bundle"
WINDOW = 240_000
TEXTS = [
    "calm piano",
    "epic metal with a steady beat at night",
    "静かなピアノ",
    "x",
    "Ruhiges Klavier",
]


@pytest.fixture(scope="module", params=["onnx", "torch"])
def encoder(request: pytest.FixtureRequest) -> BundleEncoder:
    return models.load_bundle(TINY, device="cpu", runtime=request.param, threads=1)


@pytest.fixture(scope="module")
def onnx() -> BundleEncoder:
    return models.load_bundle(TINY, device="cpu", runtime="onnx", threads=1)


def clips(count: int, samples: int = WINDOW, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    time_s = np.arange(samples) / 24_000
    tones_hz = generator.uniform(60, 4000, (count, 1))
    noise = generator.normal(0, 0.05, (count, samples))
    return (0.3 * np.sin(2 * np.pi * tones_hz * time_s) + noise).astype(np.float32)


def lowest_cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.sum(left * right, axis=1).min())


def test_it_offers_what_the_service_needs(encoder: BundleEncoder) -> None:
    offered: MusicTextEncoder = encoder
    assert offered.embed_dim == 32
    assert offered.sample_rate_hz == 24_000
    assert offered.clip_s == 10
    assert offered.name == "tiny-test"
    assert offered.licence == "Apache-2.0"
    assert offered.languages == ("en", "de", "ja")
    assert offered.device == "cpu"
    assert offered.runtime in ("onnx", "torch")
    assert all("{label}" in template for template in offered.tag_templates)
    assert len(offered.model_id) == 16


def test_vectors_are_finite_unit_float32(encoder: BundleEncoder) -> None:
    for vectors in (encoder.embed_text(TEXTS), encoder.embed_clips(clips(3))):
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_runtimes_agree(onnx: BundleEncoder) -> None:
    torch = models.load_bundle(TINY, device="cpu", runtime="torch", threads=1)
    assert torch.model_id == onnx.model_id
    assert lowest_cosine(torch.embed_text(TEXTS), onnx.embed_text(TEXTS)) > 0.99999
    audio = clips(4)
    assert lowest_cosine(torch.embed_clips(audio), onnx.embed_clips(audio)) > 0.99999


def test_a_text_embeds_the_same_alone_and_in_any_batch(encoder: BundleEncoder) -> None:
    many = [f"{text} {number}" for number in range(20) for text in TEXTS]
    together = encoder.embed_text(many)
    for place in (0, 1, 42, 99):
        alone = encoder.embed_text([many[place]])
        assert np.abs(alone[0] - together[place]).max() < 1e-5


def test_a_clip_embeds_the_same_alone_and_in_any_batch(encoder: BundleEncoder) -> None:
    audio = clips(5)
    together = encoder.embed_clips(audio)
    for place in range(5):
        alone = encoder.embed_clips(audio[place : place + 1])
        assert np.abs(alone[0] - together[place]).max() < 1e-6
    assert np.abs(encoder.embed_clips(audio[::-1]) - together[::-1]).max() < 1e-6


def test_different_inputs_embed_apart(encoder: BundleEncoder) -> None:
    for vectors in (encoder.embed_text(TEXTS), encoder.embed_clips(clips(5))):
        cosines = vectors @ vectors.T - 2 * np.eye(5)
        assert cosines.max() < 0.9


def test_nothing_in_gives_nothing_out(encoder: BundleEncoder) -> None:
    assert encoder.embed_text([]).shape == (0, 32)
    assert encoder.embed_clips(np.empty((0, WINDOW), np.float32)).shape == (0, 32)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "　"])
def test_empty_texts_are_refused_by_place(encoder: BundleEncoder, text: str) -> None:
    with pytest.raises(EmptyTextError, match="text 1"):
        encoder.embed_text(["calm piano", text])


def test_long_texts_are_refused_not_cut(encoder: BundleEncoder) -> None:
    limit = encoder.max_text_tokens
    with pytest.raises(TextTooLongError, match="text 2") as caught:
        encoder.embed_text(["a", "b", "xyzzy " * limit])
    assert caught.value.max_tokens == limit
    assert caught.value.tokens is not None
    assert caught.value.tokens > limit
    with pytest.raises(TextTooLongError):
        encoder.embed_text(["word " * 1_000_000])


def test_a_text_of_exactly_the_limit_is_read(encoder: BundleEncoder) -> None:
    # Start and end take a token each, a repeated rare letter one for itself with its space.
    for words in range(encoder.max_text_tokens, 0, -1):
        try:
            vectors = encoder.embed_text(["ß " * words])
        except TextTooLongError:
            continue
        assert np.isfinite(vectors).all()
        break
    else:
        pytest.fail("no text fits")


def test_one_string_is_not_a_list_of_letters(encoder: BundleEncoder) -> None:
    with pytest.raises(InputError, match="list"):
        encoder.embed_text("calm piano")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples_are_refused_by_place(encoder: BundleEncoder, value: float) -> None:
    audio = clips(3)
    audio[1, 7] = value
    with pytest.raises(NonFiniteAudioError, match="clip 1"):
        encoder.embed_clips(audio)
    with pytest.raises(NonFiniteAudioError):
        encoder.embed_track(audio[1])


def test_absurdly_loud_audio_is_refused(encoder: BundleEncoder) -> None:
    with pytest.raises(NonFiniteAudioError):
        encoder.embed_clips(clips(1) * np.float32(1e30))


def test_silence_embeds(encoder: BundleEncoder) -> None:
    assert np.isfinite(encoder.embed_clips(np.zeros((1, WINDOW), np.float32))).all()


def test_clips_longer_than_a_window_are_refused(encoder: BundleEncoder) -> None:
    with pytest.raises(WindowLengthError, match="embed_track"):
        encoder.embed_clips(clips(2, WINDOW + 1))
    with pytest.raises(WindowLengthError):
        encoder.embed_clips(clips(1)[0])
    with pytest.raises(WindowLengthError):
        encoder.embed_track(clips(2))


@pytest.mark.parametrize("samples", [0, 1, 100, 512])
def test_hardly_any_audio_is_refused(encoder: BundleEncoder, samples: int) -> None:
    with pytest.raises(AudioTooShortError):
        encoder.embed_clips(clips(2, samples))
    with pytest.raises(AudioTooShortError):
        encoder.embed_track(np.zeros(samples, np.float32))


@pytest.mark.parametrize("samples", [513, 30_000, 72_000, 119_999, 120_000, 156_000, 239_999])
def test_short_clips_embed_as_short_tracks(encoder: BundleEncoder, samples: int) -> None:
    audio = clips(3, samples)
    vectors = encoder.embed_clips(audio)
    completed = np.concatenate([audio, audio], axis=1)[:, :WINDOW]
    assert np.abs(encoder.embed_clips(completed) - vectors).max() < 1e-6
    track = encoder.embed_track(audio[2])
    assert np.abs(track.clips[0] - vectors[2]).max() < 1e-6
    assert track.ends_s[0] == pytest.approx(samples / 24_000)


def test_a_track_is_its_windows_and_their_plain_mean(encoder: BundleEncoder) -> None:
    samples = 2 * WINDOW + 24_000
    track = clips(1, samples)[0]
    embedding = encoder.embed_track(track)
    last = np.concatenate([track[2 * WINDOW :], track[: WINDOW - 24_000]])
    windows = np.stack([track[:WINDOW], track[WINDOW : 2 * WINDOW], last])
    assert np.abs(embedding.clips - encoder.embed_clips(windows)).max() < 1e-6
    assert embedding.mean == pytest.approx(embedding.clips.mean(axis=0), abs=1e-7)
    assert np.linalg.norm(embedding.mean) < 1
    assert embedding.starts_s.tolist() == [0, 10, 20]
    assert embedding.ends_s.tolist() == [10, 20, 21]


def test_the_reference_holds_unit_vectors(encoder: BundleEncoder) -> None:
    assert encoder.reference.shape == (128, 32)
    assert np.linalg.norm(encoder.reference, axis=1) == pytest.approx(1, abs=1e-5)


def test_probabilities_increase_with_relevance(encoder: BundleEncoder) -> None:
    found = [encoder.tag_probability(r) for r in (0.0, 0.3, 0.6, 0.9, 0.99, 1.0)]
    assert None not in found
    assert found == sorted(found, key=float)
    assert 0 <= float(found[0] or 0) < float(found[-1] or 0) <= 1


def test_the_input_is_left_as_it_was(encoder: BundleEncoder) -> None:
    audio = clips(2)
    before = audio.copy()
    encoder.embed_clips(audio)
    assert np.array_equal(audio, before)


def test_bfloat16_stays_close(onnx: BundleEncoder) -> None:
    reduced = models.load_bundle(TINY, device="cpu", precision="bf16", threads=1)
    assert (reduced.runtime, reduced.precision) == ("torch", "bf16")
    audio = golden_clip(WINDOW, 24_000)[None]
    assert lowest_cosine(reduced.embed_clips(audio), onnx.embed_clips(audio)) > 0.99
    assert lowest_cosine(reduced.embed_text(TEXTS), onnx.embed_text(TEXTS)) > 0.99


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"device": "tpu"}, "device"),
        ({"runtime": "tflite"}, "runtime"),
        ({"precision": "int4"}, "precision"),
        ({"runtime": "onnx", "precision": "bf16"}, "bf16 needs runtime torch"),
    ],
)
def test_what_cannot_be_had_is_said(wanted: dict[str, str], message: str) -> None:
    with pytest.raises(RuntimeUnavailableError, match=message):
        models.load_bundle(TINY, **{"device": "cpu", **wanted})


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.bundle.torch_towers.cuda_is_usable", lambda: False)
    monkeypatch.setattr("models.bundle.onnx_towers.cuda_is_usable", lambda: False)
    with pytest.raises(RuntimeUnavailableError, match="device cuda needs"):
        models.load_bundle(TINY, device="cuda")
    assert models.load_bundle(TINY, device="auto", threads=1).device == "cpu"


def test_files_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    manifest = read_manifest(TINY)
    for name in ("audio.onnx", "text.onnx"):
        (tmp_path / name).write_bytes(b"\x08\x08")
    with pytest.raises(BundleFormatError, match=r"audio\.onnx cannot be loaded"):
        OnnxTowers(manifest, tmp_path, device="cpu", threads=1)
    (tmp_path / "audio.onnx").write_bytes((TINY / "text.onnx").read_bytes())
    (tmp_path / "text.onnx").write_bytes((TINY / "audio.onnx").read_bytes())
    with pytest.raises(BundleFormatError, match="inputs"):
        OnnxTowers(manifest, tmp_path, device="cpu", threads=1)
