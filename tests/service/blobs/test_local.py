"""Blobs are whole or not there: through caps, full disks, kills and races."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import service
from service.blobs.local import LocalBlobStore
from service.blobs.store import BlobMissing
from service.errors import DiskFull, TooLarge


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


def test_bytes_come_back_under_their_hash(store: LocalBlobStore) -> None:
    content = bytes(range(256)) * 10
    with store.receive(len(content)) as pending:
        for start in range(0, len(content), 100):
            pending.write(content[start : start + 100])
        info = pending.finish()
        assert pending.path.read_bytes() == content
        assert store.find(info.sha256) is None, "not visible before it is placed"
        pending.place()
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    assert info.size_bytes == len(content)
    with store.open(info.sha256) as file:
        assert file.read() == content
    with store.local_path(info.sha256) as path:
        assert path == store.root / "sha256" / info.sha256[:2] / info.sha256[2:4] / info.sha256
    assert b"".join(store.read_range(info.sha256, 10, 1000, chunk_bytes=64)) == content[10:1000]
    assert b"".join(store.read_range(info.sha256, 2550, 9999)) == content[2550:]
    assert [blob.sha256 for blob in store.list_blobs()] == [info.sha256]
    assert files_in(store.root / "incoming") == []


def test_placing_known_bytes_makes_the_blob_young(store: LocalBlobStore) -> None:
    sha256 = put(store, b"same")
    os.utime(store.path_of(sha256), (0, 0))
    assert put(store, b"same") == sha256
    info = store.find(sha256)
    assert info is not None
    assert time.time() - info.modified_at.timestamp() < 60


def test_the_cap_holds_to_the_byte(store: LocalBlobStore) -> None:
    with store.receive(4) as pending:
        pending.write(b"1234")
        with pytest.raises(TooLarge):
            pending.write(b"5")
    assert files_in(store.root) == []


def test_what_is_not_placed_is_gone(store: LocalBlobStore) -> None:
    with store.receive(10) as pending:
        pending.write(b"abc")
        pending.finish()
    with pytest.raises(RuntimeError, match="finish"), store.receive(10) as pending:
        pending.place()
    assert files_in(store.root) == []


def test_too_little_free_disk_is_said_before_and_during(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DiskFull), LocalBlobStore(tmp_path, min_free_bytes=1 << 62).receive(1):
        pass
    store = LocalBlobStore(tmp_path, min_free_bytes=1)
    with store.receive(1 << 30) as pending:
        store._min_free_bytes = 1 << 62
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


def test_missing_blobs_and_strange_names(store: LocalBlobStore) -> None:
    absent = "0" * 64
    assert store.find(absent) is None
    assert store.delete(absent) is False
    for ask in (store.open, lambda name: store.read_range(name, 0, 1)):
        with pytest.raises(BlobMissing):
            ask(absent)
    with pytest.raises(BlobMissing), store.local_path(absent):
        pass
    for name in ("../../etc/passwd", "AB" * 32, "0" * 63, ""):
        with pytest.raises(ValueError, match="SHA-256"):
            store.open(name)


def test_delete(store: LocalBlobStore) -> None:
    sha256 = put(store, b"x")
    assert store.delete(sha256) is True
    assert files_in(store.root) == []


def test_the_same_bytes_at_once(store: LocalBlobStore) -> None:
    barrier = threading.Barrier(4)

    def upload() -> None:
        with store.receive(1 << 20) as pending:
            pending.write(b"race" * 1000)
            pending.finish()
            barrier.wait()
            pending.place()

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = files_in(store.root)
    assert path.read_bytes() == b"race" * 1000


_UPLOADER = """
import sys, time
from pathlib import Path
from service.blobs.local import LocalBlobStore
with LocalBlobStore(Path(sys.argv[1])).receive(1 << 30) as pending:
    pending.write(b"half")
    pending._file.flush()
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
