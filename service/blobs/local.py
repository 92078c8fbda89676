"""Blobs in a folder: sha256/ab/cd/<hash>, written as temporary file, fsync, rename, fsync."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from models.whole_file import sync_folder
from service.blobs.incoming import IncomingFile, IncomingFolder, disk_full_said
from service.blobs.store import BlobInfo, BlobMissing, blob_key, find_hash, read_part


class LocalPendingBlob:
    """An upload in `incoming/`, on the same file system as its place to be."""

    def __init__(self, store: LocalBlobStore, received: IncomingFile) -> None:
        self._store = store
        self._received = received

    @property
    def path(self) -> Path:
        return self._received.path

    def write(self, chunk: bytes) -> None:
        self._received.write(chunk)

    def finish(self) -> BlobInfo:
        return self._received.finish()

    def prepare(self) -> None:
        """Nothing is slow here: placing is a rename."""

    def place(self) -> None:
        target = self._store.path_of(self._received.info.sha256)
        if target.exists():
            os.utime(target)  # young again for the orphan collection
            return
        with disk_full_said():
            _make_durable_dir(target.parent, self._store.root)
            self.path.replace(target)
            sync_folder(target.parent)


class LocalBlobStore:
    """A BlobStore in one folder of a local (or well-behaved network) file system."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self.root = root
        self._incoming = IncomingFolder(root / "incoming", min_free_bytes=min_free_bytes)

    def path_of(self, sha256: str) -> Path:
        """Where a blob is, if it is; raises ValueError for anything but a SHA-256 in hex."""
        return self.root / blob_key(sha256)

    @contextmanager
    def receive(self, max_bytes: int) -> Iterator[LocalPendingBlob]:
        with self._incoming.receive(max_bytes) as received:
            yield LocalPendingBlob(self, received)

    def open(self, sha256: str) -> BinaryIO:
        try:
            return self.path_of(sha256).open("rb")
        except FileNotFoundError:
            raise BlobMissing(sha256) from None

    def read_range(
        self, sha256: str, start: int, stop: int, chunk_bytes: int = 64 * 1024
    ) -> Iterator[bytes]:
        return read_part(self.open(sha256), start, stop, chunk_bytes)

    def find(self, sha256: str) -> BlobInfo | None:
        try:
            return _info(self.path_of(sha256))
        except FileNotFoundError:
            return None

    @contextmanager
    def local_path(self, sha256: str) -> Iterator[Path]:
        path = self.path_of(sha256)
        if not path.is_file():
            raise BlobMissing(sha256)
        yield path

    def delete(self, sha256: str) -> bool:
        path = self.path_of(sha256)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync_folder(path.parent)
        return True

    def list_blobs(self) -> Iterator[BlobInfo]:
        for path in (self.root / "sha256").glob("??/??/*"):
            if find_hash(path.relative_to(self.root).as_posix()) is None:
                continue
            try:
                yield _info(path)
            except FileNotFoundError:
                continue  # removed while we looked

    def remove_stale_uploads(self) -> int:
        return self._incoming.remove_stale()


def _info(path: Path) -> BlobInfo:
    stat = path.stat()
    return BlobInfo(path.name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))


def _make_durable_dir(folder: Path, root: Path) -> None:
    if folder.is_dir():
        return
    if folder != root:
        _make_durable_dir(folder.parent, root)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
