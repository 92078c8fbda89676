"""Blobs in a folder: sha256/ab/cd/<hash>, written as temporary file, fsync, rename, fsync."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from service.blobs.store import BlobInfo, BlobMissing
from service.errors import DiskFull, TooLarge

_FREE_CHECK_EVERY_BYTES = 16 * 1024 * 1024
_LOCK_GRACE_S = 60.0  # between making a temporary file and locking it
_HASH_CHARS = frozenset("0123456789abcdef")


class LocalPendingBlob:
    """An upload in `incoming/`; its file is locked while its process lives."""

    def __init__(self, store: LocalBlobStore, file: BinaryIO, max_bytes: int) -> None:
        self._store = store
        self._file = file
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._checked_at = 0
        self._info: BlobInfo | None = None

    @property
    def path(self) -> Path:
        return Path(self._file.name)

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise TooLarge(max_bytes=self._max_bytes)
        if self._size - self._checked_at >= _FREE_CHECK_EVERY_BYTES:
            self._store.check_free()
            self._checked_at = self._size
        self._hash.update(chunk)
        with _disk_full_said():
            self._file.write(chunk)

    def finish(self) -> BlobInfo:
        with _disk_full_said():
            self._file.flush()
            os.fsync(self._file.fileno())
        self._info = BlobInfo(self._hash.hexdigest(), self._size, datetime.now(UTC))
        return self._info

    def prepare(self) -> None:
        """Nothing is slow here: the temporary file is on the blobs' own file system."""

    def place(self) -> None:
        if self._info is None:
            raise RuntimeError("finish the upload before placing it")
        target = self._store.path_of(self._info.sha256)
        if target.exists():
            os.utime(target)  # young again for the orphan collection
            return
        with _disk_full_said():
            _make_durable_dir(target.parent, self._store.root)
            self.path.replace(target)
            _fsync_dir(target.parent)


class LocalBlobStore:
    """A BlobStore in one folder of a local (or well-behaved network) file system."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self.root = root
        self._incoming = root / "incoming"
        self._min_free_bytes = min_free_bytes

    def path_of(self, sha256: str) -> Path:
        """Where a blob is, if it is; raises ValueError for anything but a SHA-256 in hex."""
        if len(sha256) != 64 or not _HASH_CHARS.issuperset(sha256):
            raise ValueError("not a SHA-256 in hex")
        return self.root / "sha256" / sha256[:2] / sha256[2:4] / sha256

    def check_free(self) -> None:
        """Raise DiskFull when less than the wanted space is free."""
        if shutil.disk_usage(self.root).free < self._min_free_bytes:
            raise DiskFull

    @contextmanager
    def receive(self, max_bytes: int) -> Iterator[LocalPendingBlob]:
        self._incoming.mkdir(parents=True, exist_ok=True)
        self.check_free()
        with _disk_full_said():
            descriptor, name = tempfile.mkstemp(prefix="upload-", dir=self._incoming)
        os.close(descriptor)
        path = Path(name)
        try:
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield LocalPendingBlob(self, file, max_bytes)
        finally:
            path.unlink(missing_ok=True)

    def open(self, sha256: str) -> BinaryIO:
        try:
            return self.path_of(sha256).open("rb")
        except FileNotFoundError:
            raise BlobMissing(sha256) from None

    def read_range(
        self, sha256: str, start: int, stop: int, chunk_bytes: int = 64 * 1024
    ) -> Iterator[bytes]:
        return _read_range(self.open(sha256), start, stop, chunk_bytes)

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
        _fsync_dir(path.parent)
        return True

    def list_blobs(self) -> Iterator[BlobInfo]:
        for path in (self.root / "sha256").glob("??/??/*"):
            try:
                yield _info(path)
            except FileNotFoundError:
                continue  # removed while we looked

    def remove_stale_uploads(self) -> int:
        removed = 0
        for path in self._incoming.glob("upload-*"):
            try:
                with path.open("rb") as file:
                    if time.time() - path.stat().st_mtime < _LOCK_GRACE_S:
                        continue
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    removed += 1
            except (FileNotFoundError, BlockingIOError):
                continue  # finished meanwhile, or alive
        return removed


def _info(path: Path) -> BlobInfo:
    stat = path.stat()
    return BlobInfo(path.name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))


def _read_range(file: BinaryIO, start: int, stop: int, chunk_bytes: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = stop - start
        while left > 0 and (chunk := file.read(min(chunk_bytes, left))):
            left -= len(chunk)
            yield chunk


@contextmanager
def _disk_full_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull from error
        raise


def _make_durable_dir(folder: Path, root: Path) -> None:
    if folder.is_dir():
        return
    if folder != root:
        _make_durable_dir(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _fsync_dir(folder.parent)


def _fsync_dir(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
