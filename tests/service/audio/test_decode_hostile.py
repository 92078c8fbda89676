"""Files that are broken, false or malicious: each ends as a code or as honest partial audio."""

from __future__ import annotations

import os
import random
from pathlib import Path

import av
import numpy as np
import pytest

from service.audio import DecodedAudio, DecodeError, decode_all, probe
from service.audio.errors import CorruptAudio, NotAudioFile
from tests.service.audio.conftest import AudioWriter, tone


def reason_of(path: Path) -> str:
    """The code that both entries agree on."""
    with pytest.raises(DecodeError) as from_probe:
        probe(path)
    with pytest.raises(DecodeError) as from_decode:
        decode_all(path, max_duration_s=60.0)
    assert from_probe.value.reason == from_decode.value.reason
    return from_decode.value.reason


def decode_or_reason(path: Path) -> DecodedAudio | str:
    try:
        return decode_all(path, max_duration_s=10.0)
    except DecodeError as error:
        return error.reason


def cut(path: Path, share: float) -> Path:
    """The same file without its end."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp3", b"I am not a song, whatever my name says.\n" * 50),
        ("page.html", b"<!doctype html><audio src=x></audio>"),
        ("zeros.mp3", bytes(200_000)),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(200)),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
        ("list.m3u", b"#EXTM3U\nsong.mp3\n"),
        ("list.pls", b"[playlist]\nFile1=song.mp3\n"),
        ("concat.txt", b"ffconcat version 1.0\nfile song.mp3\n"),
        ("meta.txt", b";FFMETADATA1\ntitle=x\n"),
        ("dash.mpd", b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'),
        ("stream.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5 RTP/AVP 0\n"),
    ],
)
def test_what_never_was_audio_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert reason_of(path) == "not_audio"


def test_a_playlist_beside_a_real_song_does_not_open_it(
    write_audio: AudioWriter, tmp_path: Path
) -> None:
    song = write_audio("mp3", 2.0)
    for name, text in (
        ("list.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{song}\n"),
        ("concat.txt", f"ffconcat version 1.0\nfile '{song}'\n"),
    ):
        (tmp_path / name).write_text(text)
        assert reason_of(tmp_path / name) == "not_audio"


def test_an_empty_file_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp3").touch()
    assert reason_of(tmp_path / "empty.mp3") == "empty_file"


def test_what_is_no_regular_file_is_refused_without_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(NotAudioFile):
            probe(path)


def test_a_missing_file_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "nothing")


def test_a_video_without_sound_has_no_audio_stream(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert reason_of(path) == "no_audio_stream"


def test_a_codec_off_the_list_is_refused(write_audio: AudioWriter) -> None:
    assert reason_of(write_audio("ac3.mka", 2.0)) == "unsupported_codec"


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_m4a_without_its_end_is_corrupt(share: float, write_audio: AudioWriter) -> None:
    assert reason_of(cut(write_audio("m4a", 5.0), share)) == "corrupt"


@pytest.mark.parametrize("kind", ["mp3", "ogg", "opus", "flac", "wav", "f32.wav"])
def test_a_cut_file_gives_what_it_has_and_says_so(kind: str, write_audio: AudioWriter) -> None:
    audio = decode_all(cut(write_audio(kind, 10.0), 0.5), max_duration_s=60.0)
    assert audio.summary.ended_early
    assert 3.0 < audio.summary.duration_s < 7.0
    assert audio.summary.corrupt_packets <= 1


def test_a_float_wav_full_of_nan_is_corrupt(write_audio: AudioWriter) -> None:
    samples = np.full((2, 48_000), np.nan, dtype=np.float32)
    with pytest.raises(CorruptAudio):
        decode_all(write_audio("f32.wav", samples=samples), max_duration_s=60.0)


def test_a_few_nan_and_wild_samples_are_repaired_and_counted(write_audio: AudioWriter) -> None:
    samples = tone(2.0, 24_000, 1)
    samples[0, 1_000:1_010] = np.nan
    samples[0, 2_000] = np.inf
    samples[0, 3_000] = 1e30
    path = write_audio("f32.wav", rate_hz=24_000, layout="mono", samples=samples)
    audio = decode_all(path, max_duration_s=60.0)
    assert audio.summary.non_finite_samples == 11
    assert np.isfinite(audio.samples).all()
    assert not audio.samples[1_000:1_010].any()
    assert audio.samples[3_000] == 2.0
    np.testing.assert_allclose(audio.samples[4_000:], samples[0, 4_000:], atol=1e-6)


def test_damage_in_the_middle_is_skipped_and_counted(write_audio: AudioWriter) -> None:
    # In Matroska, packets have lengths of their own; a bare flac would silently lose the frame.
    path = write_audio("mka", 10.0)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2_000] = random.Random(0).randbytes(2_000)
    path.write_bytes(data)
    audio = decode_all(path, max_duration_s=60.0)
    assert audio.summary.corrupt_packets >= 1
    assert 9.0 < audio.summary.duration_s <= 10.5
    assert np.abs(audio.samples).max() <= 2.0


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg", "opus", "m4a", "wav", "mka", "wma"])
def test_mutated_files_end_as_a_code_or_as_bounded_audio(
    kind: str, write_audio: AudioWriter, tmp_path: Path
) -> None:
    original = write_audio(kind, 2.0).read_bytes()
    for seed in range(3):
        chance = random.Random(f"{kind}{seed}")
        data = bytearray(original)
        for _ in range(chance.choice([3, 30, 300])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.5:
            data[:64] = original[:64]
        path = tmp_path / f"mutated-{seed}"
        path.write_bytes(data)
        outcome = decode_or_reason(path)
        if isinstance(outcome, str):
            assert outcome in {"corrupt", "not_audio", "unsupported_codec", "audio_too_short"}
        else:
            assert np.isfinite(outcome.samples).all()
            assert np.abs(outcome.samples).max(initial=0.0) <= 2.0


def test_errors_tell_nothing_of_the_library_or_the_path(tmp_path: Path) -> None:
    path = tmp_path / "secret-name.mp3"
    path.write_bytes(b"x" * 1_000)
    with pytest.raises(DecodeError) as error:
        probe(path)
    assert str(error.value) == "This file is not audio that we can decode."
    assert error.value.details == {}
