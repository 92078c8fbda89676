"""Range requests on a track's audio, as a player makes them."""

from pathlib import Path

import pytest

from tests.service.api.conftest import Running
from tests.support.service import API, upload


@pytest.fixture
def audio(idle: Running, tones: dict[str, Path]) -> tuple[str, bytes]:
    """The address of an uploaded file, and its bytes."""
    track = upload(idle.client, tones["low"]).json()["track"]
    return f"{API}/tracks/{track['id']}/audio", tones["low"].read_bytes()


def test_the_whole_file(idle: Running, audio: tuple[str, bytes]) -> None:
    address, content = audio
    response = idle.client.get(address)
    assert response.status_code == 200
    assert response.content == content
    assert response.headers["content-type"] == "audio/flac"
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-length"] == str(len(content))
    assert 'filename="low.flac"' in response.headers["content-disposition"]


def test_a_part(idle: Running, audio: tuple[str, bytes]) -> None:
    address, content = audio
    end = len(content)
    for header, first, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1000-", 1000, end),
        ("bytes=-50", end - 50, end),
    ):
        response = idle.client.get(address, headers={"Range": header})
        assert response.status_code == 206
        assert response.content == content[first:stop]
        assert response.headers["content-range"] == f"bytes {first}-{stop - 1}/{end}"
        assert response.headers["content-length"] == str(stop - first)


def test_a_part_that_is_not_there(idle: Running, audio: tuple[str, bytes]) -> None:
    address, content = audio
    response = idle.client.get(address, headers={"Range": f"bytes={len(content)}-"})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(content)}"
    assert response.json()["error"]["code"] == "range_not_satisfiable"


def test_head_says_the_same_without_a_body(idle: Running, audio: tuple[str, bytes]) -> None:
    address, content = audio
    whole = idle.client.head(address)
    assert (whole.status_code, whole.content) == (200, b"")
    assert whole.headers["content-length"] == str(len(content))
    part = idle.client.head(address, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


def test_conditional_requests(idle: Running, audio: tuple[str, bytes]) -> None:
    address, content = audio
    etag = idle.client.head(address).headers["etag"]
    unchanged = idle.client.get(address, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    part = {"Range": "bytes=0-9"}
    same = idle.client.get(address, headers={**part, "If-Range": etag})
    assert (same.status_code, same.content) == (206, content[:10])
    other = idle.client.get(address, headers={**part, "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, content)


def test_a_file_that_is_gone_is_a_404_of_its_own(
    idle: Running, audio: tuple[str, bytes], tmp_path: Path
) -> None:
    for path in (tmp_path / "data" / "blobs" / "sha256").rglob("*"):
        if path.is_file():
            path.unlink()
    response = idle.client.get(audio[0])
    assert (response.status_code, response.json()["error"]["code"]) == (404, "audio_missing")
