"""What every blob store promises: whole blobs under their hash, or nothing."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from pathlib import Path

import pytest

from service.blobs.local import LocalBlobStore
from service.blobs.store import BlobMissing, BlobStore
from service.errors import TooLarge

LARGE = bytes(range(256)) * (70 * 1024)  # 17.5 MiB: three parts of an S3 upload


def put(store: BlobStore, content: bytes) -> str:
    with store.receive(1 << 30) as pending:
        pending.write(content)
        info = pending.finish()
        pending.prepare()
        pending.place()
    return info.sha256


def temporary_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs" / "incoming").rglob("*") if path.is_file()]


def test_bytes_come_back_under_their_hash(store: BlobStore, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    with store.receive(len(content)) as pending:
        for start in range(0, len(content), 100):
            pending.write(content[start : start + 100])
        info = pending.finish()
        assert pending.path.read_bytes() == content
        assert store.find(info.sha256) is None, "not visible before it is placed"
        pending.prepare()
        pending.place()
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    found = store.find(info.sha256)
    assert found is not None
    assert found.size_bytes == info.size_bytes == len(content)
    assert abs(time.time() - found.modified_at.timestamp()) < 60
    with store.open(info.sha256) as file:
        assert file.read() == content
    with store.local_path(info.sha256) as path:
        assert path.read_bytes() == content
    assert [blob.sha256 for blob in store.list_blobs()] == [info.sha256]
    assert temporary_files(tmp_path) == []


def test_ranges(store: BlobStore) -> None:
    content = bytes(range(256)) * 10
    sha256 = put(store, content)

    def part(start: int, stop: int) -> bytes:
        return b"".join(store.read_range(sha256, start, stop, chunk_bytes=64))

    assert part(10, 1000) == content[10:1000]
    assert part(2550, 9999) == content[2550:]
    assert part(0, 1) == content[:1]
    assert part(5, 5) == b""
    assert part(9999, 10_000) == b""


def test_a_blob_is_read_like_a_file(store: BlobStore) -> None:
    sha256 = put(store, LARGE)
    with store.open(sha256) as file:
        assert file.seek(-10, io.SEEK_END) == len(LARGE) - 10
        assert file.read() == LARGE[-10:]
        assert file.read(5) == b""
        file.seek(1000)
        assert file.read(3) == LARGE[1000:1003]
        assert file.seek(2, io.SEEK_CUR) == file.tell() == 1005
        assert file.read(3_000_000) == LARGE[1005:3_001_005]
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)


def test_large_blobs(store: BlobStore, tmp_path: Path) -> None:
    sha256 = put(store, LARGE)
    found = store.find(sha256)
    assert found is not None
    assert found.size_bytes == len(LARGE)
    with store.local_path(sha256) as path:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert temporary_files(tmp_path) == []
    assert put(store, LARGE) == sha256
    assert len(list(store.list_blobs())) == 1


def test_an_empty_blob(store: BlobStore) -> None:
    sha256 = put(store, b"")
    with store.open(sha256) as file:
        assert file.read() == b""
    with store.local_path(sha256) as path:
        assert path.read_bytes() == b""
    assert list(store.read_range(sha256, 0, 10)) == []


def test_the_cap_holds_to_the_byte(store: BlobStore, tmp_path: Path) -> None:
    with store.receive(4) as pending:
        pending.write(b"1234")
        with pytest.raises(TooLarge):
            pending.write(b"5")
    assert temporary_files(tmp_path) == []
    assert list(store.list_blobs()) == []


def test_what_is_not_placed_is_gone(store: BlobStore, tmp_path: Path) -> None:
    with store.receive(10) as pending:
        pending.write(b"abc")
        pending.finish()
    with pytest.raises(RuntimeError, match="finish"), store.receive(10) as pending:
        pending.place()
    assert temporary_files(tmp_path) == []
    assert list(store.list_blobs()) == []


def test_bytes_removed_since_they_were_prepared_are_placed_all_the_same(store: BlobStore) -> None:
    """Their last owner was deleted in between."""
    sha256 = put(store, b"same")
    with store.receive(10) as pending:
        pending.write(b"same")
        pending.finish()
        pending.prepare()
        assert store.delete(sha256) is True
        pending.place()
    with store.open(sha256) as file:
        assert file.read() == b"same"


def test_missing_blobs_and_strange_names(store: BlobStore) -> None:
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


def test_delete(store: BlobStore) -> None:
    kept, removed = put(store, b"kept"), put(store, b"x")
    assert store.delete(removed) is True
    assert store.delete(removed) is False
    assert store.find(removed) is None
    assert [blob.sha256 for blob in store.list_blobs()] == [kept]


def test_foreign_names_are_not_listed(store: BlobStore, tmp_path: Path) -> None:
    """Listed, they would be collected as orphans."""
    sha256 = put(store, b"ours")
    for name in ("sha256/ab/cd/notes.txt", f"sha256/00/00/{sha256}", f"sha256/ab/cd/{'AB' * 32}"):
        if isinstance(store, LocalBlobStore):
            path = store.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"theirs")
        else:
            store._store.put(name, b"theirs")  # type: ignore[attr-defined]
    assert [blob.sha256 for blob in store.list_blobs()] == [sha256]


@pytest.mark.parametrize("content", [b"race" * 1000, LARGE], ids=["small", "large"])
def test_the_same_bytes_at_once(store: BlobStore, content: bytes) -> None:
    barrier = threading.Barrier(3)
    failures: list[Exception] = []

    def upload() -> None:
        try:
            with store.receive(1 << 30) as pending:
                pending.write(content)
                pending.finish()
                barrier.wait()
                pending.prepare()
                pending.place()
        except Exception as error:  # noqa: BLE001 - the test shows it
            failures.append(error)

    threads = [threading.Thread(target=upload) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    (blob,) = store.list_blobs()
    with store.open(blob.sha256) as file:
        assert file.read() == content
