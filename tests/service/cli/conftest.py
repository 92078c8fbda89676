"""An installation for each test of the command line, with the tiny real bundle."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.audio import write_audio
from tests.support.encoder import tone
from tests.support.process import environment


@pytest.fixture
def free_port() -> int:
    """A port at which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def home(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, free_port: int) -> Path:
    """An installation of its own, and no server at its port."""
    env = environment(tmp_path / "data", sqlite_url, PORT=str(free_port))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with two pieces, a broken one, a text and a hidden file."""
    folder = tmp_path / "music" / "album"
    folder.mkdir(parents=True)
    tags = {"title": "Deep", "artist": "Duo"}
    write_audio(folder / "deep.flac", tone(150.0, 11.0), 24_000, tags=tags)
    write_audio(folder / "bright.ogg", tone(5000.0, 3.0), 44_100)
    (folder / "broken.mp3").write_bytes(b"this is no music" * 100)
    (folder / "notes.txt").write_text("no music either")
    (folder / ".hidden.mp3").write_bytes(b"x")
    return folder.parent
