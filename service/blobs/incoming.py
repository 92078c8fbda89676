"""Files on their way in or out: temporary, locked while their process lives, capped, hashed."""

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

from service.blobs.store import BlobInfo
from service.errors import DiskFull, TooLarge

_FREE_CHECK_EVERY_BYTES = 16 * 1024 * 1024
_LOCK_GRACE_S = 60.0  # between making a temporary file and locking it


class IncomingFile:
    """One temporary file and what was written to it so far."""

    def __init__(self, folder: IncomingFolder, file: BinaryIO, max_bytes: int) -> None:
        self._folder = folder
        self._file = file
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._checked_at = 0
        self._info: BlobInfo | None = None

    @property
    def path(self) -> Path:
        return Path(self._file.name)

    @property
    def info(self) -> BlobInfo:
        """What was received; raises RuntimeError before `finish`."""
        if self._info is None:
            raise RuntimeError("finish the upload before placing it")
        return self._info

    def write(self, chunk: bytes) -> None:
        """Append; raises TooLarge past the cap and DiskFull when the disk runs out."""
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise TooLarge(max_bytes=self._max_bytes)
        if self._size - self._checked_at >= _FREE_CHECK_EVERY_BYTES:
            self._folder.check_free()
            self._checked_at = self._size
        self._hash.update(chunk)
        with disk_full_said():
            self._file.write(chunk)

    def finish(self) -> BlobInfo:
        """Make the bytes durable and say what they are; raises DiskFull."""
        with disk_full_said():
            self._file.flush()
            os.fsync(self._file.fileno())
        self._info = BlobInfo(self._hash.hexdigest(), self._size, datetime.now(UTC))
        return self._info


class IncomingFolder:
    """Where temporary files live; safe to share between processes of one machine."""

    def __init__(self, path: Path, *, min_free_bytes: int = 0) -> None:
        self.path = path
        self._min_free_bytes = min_free_bytes

    def check_free(self) -> None:
        """Raise DiskFull when less than the wanted space is free."""
        if shutil.disk_usage(self.path).free < self._min_free_bytes:
            raise DiskFull

    @contextmanager
    def receive(self, max_bytes: int) -> Iterator[IncomingFile]:
        """A new file for the length of the block; raises DiskFull."""
        with self.temporary() as file:
            yield IncomingFile(self, file, max_bytes)

    @contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """A new, empty, locked file for the length of the block; raises DiskFull."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.check_free()
        with disk_full_said():
            descriptor, name = tempfile.mkstemp(prefix="upload-", dir=self.path)
        os.close(descriptor)
        path = Path(name)
        try:
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        finally:
            path.unlink(missing_ok=True)

    def remove_stale(self) -> int:
        """Remove what killed processes left; the files of living ones are not touched."""
        removed = 0
        for path in self.path.glob("upload-*"):
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


@contextmanager
def disk_full_said() -> Iterator[None]:
    """Turn the operating system's word for a full disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull from error
        raise
