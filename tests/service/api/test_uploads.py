"""Uploads that must be refused, and what must be left of them: nothing."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.service.api.conftest import Running
from tests.support.audio import CODECS, write_audio
from tests.support.encoder import FakeEncoder, tone
from tests.support.service import (
    API,
    make_settings,
    running_service,
    upload,
    wait_for_job,
)


@pytest.fixture
def incoming(settings: Settings) -> Path:
    return settings.data_dir / "blobs" / "incoming"


def assert_nothing_is_left(running: Running, incoming: Path) -> None:
    assert running.client.get(f"{API}/tracks").json()["total"] == 0
    assert running.client.get(f"{API}/jobs").json()["total"] == 0
    assert not incoming.exists() or list(incoming.iterdir()) == []
    stored = incoming.parent / "sha256"
    assert not stored.exists() or not any(path.is_file() for path in stored.rglob("*"))


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("poem.mp3", b"Shall I compare thee to a summer's day?\n" * 400, "not_audio"),
        ("page.wav", b"<!doctype html><html></html>" * 50, "not_audio"),
        ("noise.mp3", os.urandom(70_000), None),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "not_audio"),
        ("empty.flac", b"", "empty_file"),
        ("head.flac", b"fLaC\x00\x00\x00\x22", None),
    ],
)
def test_what_is_not_audio_is_a_415(
    idle: Running, incoming: Path, tmp_path: Path, name: str, content: bytes, code: str | None
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    response = upload(idle.client, path)
    assert response.status_code == 415, response.text
    if code is not None:
        assert response.json()["error"]["code"] == code
    assert_nothing_is_left(idle, incoming)


def test_audio_that_is_too_short_is_a_clear_error(
    running: Running, incoming: Path, tmp_path: Path
) -> None:
    path = write_audio(tmp_path / "blip.wav", tone(440.0, 0.02), 24_000)
    response = upload(running.client, path)
    if response.status_code == 202:
        job = wait_for_job(running.client, response.json()["job"]["id"])
        assert (job["state"], job["error_code"]) == ("failed", "audio_too_short")
    else:
        assert response.status_code == 422
        assert response.json()["error"]["code"] == "audio_too_short"


def test_a_truncated_m4a_ends_as_a_failure_with_a_reason(running: Running, tmp_path: Path) -> None:
    whole = write_audio(tmp_path / "whole.m4a", tone(440.0, 20.0), 24_000).read_bytes()
    path = tmp_path / "cut.m4a"
    path.write_bytes(whole[: len(whole) // 2])  # the index of an m4a is at its end
    response = upload(running.client, path)
    if response.status_code == 202:
        job = wait_for_job(running.client, response.json()["job"]["id"])
        assert job["state"] == "failed"
        assert job["error_message"]
        track = running.client.get(f"{API}/tracks/{job['track_id']}").json()
        assert (track["state"], track["error_code"]) == ("failed", job["error_code"])
    else:
        assert response.status_code == 415
        assert response.json()["error"]["code"] in ("corrupt", "not_audio")


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_each_common_format_is_taken(idle: Running, tmp_path: Path, suffix: str) -> None:
    path = write_audio(tmp_path / f"song{suffix}", tone(440.0, 1.5), 48_000, tags={"title": "T"})
    response = upload(idle.client, path)
    assert response.status_code == 202, response.text
    track = response.json()["track"]
    assert track["media_type"].startswith("audio/")
    assert track["codec"]
    assert track["title"] == ("T" if suffix != ".wav" else track["title"])


@pytest.fixture
def small(tmp_path: Path, sqlite_url: str) -> Iterator[Running]:
    """A service that takes files of 100 kB."""
    settings = make_settings(
        tmp_path / "data",
        sqlite_url,
        worker="off",
        max_upload_bytes=100_000,
        max_clip_bytes=50_000,
    )
    encoder = FakeEncoder()
    with running_service(settings, encoder) as (client, services):
        yield Running(client, services, encoder)


BOUNDARY = "frontier"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.mark.parametrize("path", ["/tracks", "/search/audio", "/tags/audio", "/embeddings/audio"])
@pytest.mark.parametrize("size_bytes", [100_001, 5_000_000])
@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
def test_too_much_is_a_413(
    small: Running, incoming: Path, path: str, size_bytes: int, declared: bool
) -> None:
    body = HEAD + b"\0" * size_bytes + TAIL

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    content = body if declared else pieces()
    response = small.client.post(f"{API}{path}", content=content, headers=FORM)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"
    assert_nothing_is_left(small, incoming)


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
def test_too_much_json_is_a_413(small: Running, declared: bool) -> None:
    body = b'{"query": [{"text": "' + b"x" * 5_000_000 + b'"}]}'
    content = body if declared else iter([body[:2_000_000], body[2_000_000:]])
    headers = {"Content-Type": "application/json"}
    response = small.client.post(f"{API}/search", content=content, headers=headers)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"


def test_a_full_disk_is_a_503_before_the_body_is_kept(
    tmp_path: Path, sqlite_url: str, tones: dict[str, Path]
) -> None:
    settings = make_settings(tmp_path / "data", sqlite_url, min_free_bytes=1 << 62)
    with running_service(settings) as (client, _):
        response = upload(client, tones["low"])
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "disk_full"


def test_the_same_file_sent_by_many_at_once_is_one_track(
    running: Running, tones: dict[str, Path]
) -> None:
    statuses: list[int] = []

    def send() -> None:
        statuses.append(upload(running.client, tones["low"]).status_code)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 5 + [202]
    assert running.client.get(f"{API}/tracks").json()["total"] == 1
    assert running.client.get(f"{API}/jobs").json()["total"] == 1


def test_the_files_own_tags_are_read_and_the_uploaders_word_wins(
    idle: Running, tmp_path: Path
) -> None:
    tags = {"title": "Own", "artist": "Someone", "album": "Record", "genre": "Jazz", "date": "1959"}
    path = write_audio(tmp_path / "tagged.flac", tone(440.0, 1.0), 24_000, tags=tags)
    track = upload(idle.client, path, metadata='{"title": "Given"}').json()["track"]
    assert (track["title"], track["artist"], track["album"]) == ("Given", "Someone", "Record")
    assert (track["genre"], track["year"], track["filename"]) == ("Jazz", 1959, "tagged.flac")


def test_a_nasty_file_name_is_kept_as_a_name_only(idle: Running, tmp_path: Path) -> None:
    path = write_audio(tmp_path / "x.wav", tone(440.0, 1.0), 24_000)
    name = "../../../etc/pass\x7fwd\\..\\evil.wav"
    files = {"file": (name, path.read_bytes(), "audio/wav")}
    track = idle.client.post(f"{API}/tracks", files=files).json()["track"]
    assert "/" not in track["filename"]
    assert "\\" not in track["filename"]
    header = idle.client.head(f"{API}/tracks/{track['id']}/audio").headers["content-disposition"]
    assert header.startswith("inline; ")
    assert header.isprintable()
