"""What only a folder can show: its files, full disks, and kills half-way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import service
from service.blobs.local import LocalBlobStore
from service.errors import DiskFull


@pytest.fixture
def store(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


def put(store: LocalBlobStore, content: bytes) -> str:
    with store.receive(1 << 20) as pending:
        pending.write(content)
        info = pending.finish()
        pending.place()
    return info.sha256


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_placing_known_bytes_makes_the_blob_young(store: LocalBlobStore) -> None:
    sha256 = put(store, b"same")
    os.utime(store.path_of(sha256), (0, 0))
    assert put(store, b"same") == sha256
    info = store.find(sha256)
    assert info is not None
    assert time.time() - info.modified_at.timestamp() < 60


def test_too_little_free_disk_is_said_before_and_during(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DiskFull), LocalBlobStore(tmp_path, min_free_bytes=1 << 62).receive(1):
        pass
    store = LocalBlobStore(tmp_path, min_free_bytes=1)
    with store.receive(1 << 30) as pending:
        store._incoming._min_free_bytes = 1 << 62
        for _ in range(15):
            pending.write(bytes(1 << 20))
        with pytest.raises(DiskFull):
            pending.write(bytes(1 << 20))

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    store = LocalBlobStore(tmp_path)
    with store.receive(10) as pending:
        pending.write(b"abc")
        monkeypatch.setattr(os, "fsync", no_space)
        with pytest.raises(DiskFull):
            pending.finish()


def test_a_blob_is_one_file_named_by_its_hash(store: LocalBlobStore) -> None:
    sha256 = put(store, b"x")
    with store.local_path(sha256) as path:
        assert path == store.root / "sha256" / sha256[:2] / sha256[2:4] / sha256
    assert files_in(store.root) == [path]
    assert store.delete(sha256) is True
    assert files_in(store.root) == []


_UPLOADER = """
import sys, time
from pathlib import Path
from service.blobs.local import LocalBlobStore
with LocalBlobStore(Path(sys.argv[1])).receive(1 << 30) as pending:
    pending.write(b"half")
    pending._received._file.flush()
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_upload_leaves_nothing_visible_and_is_collected(store: LocalBlobStore) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _UPLOADER, str(store.root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(service.__file__).parent.parent)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        (half,) = files_in(store.root)
        os.utime(half, (0, 0))
        assert store.remove_stale_uploads() == 0, "its process is alive"
        process.send_signal(signal.SIGKILL)
    assert list(store.list_blobs()) == []
    assert store.remove_stale_uploads() == 1
    assert files_in(store.root) == []


def test_a_new_temporary_file_is_left_alone(store: LocalBlobStore) -> None:
    """Between making the file and locking it, it looks abandoned."""
    with store.receive(10) as pending:
        young: Any = pending.path.with_name("upload-young")
        young.touch()
        assert store.remove_stale_uploads() == 0
        young.unlink()
