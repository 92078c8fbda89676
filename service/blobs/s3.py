"""Blobs in a bucket of any S3-compatible store: <prefix>/sha256/ab/cd/<hash>.

Uploads are hashed into a local temporary file first, because the hash is the key. `prepare` sends
that file, outside the transaction; `place` then only asks whether it is still there. Bytes that
were sent but never got a row are orphans: no row names them, and the collector removes them.
S3 shows an object when all of it has arrived, so that no half of one is ever read.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from service.blobs.incoming import IncomingFile, IncomingFolder, disk_full_said
from service.blobs.store import BlobInfo, BlobMissing, blob_key, find_hash, read_part
from service.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore.store import S3Config as AwsOptions

_PART_BYTES = 8 * 1024 * 1024  # of uploads and downloads: each request is short, memory bounded
_PARTS_AT_ONCE = 4
_READ_AHEAD_BYTES = 1024 * 1024
_REQUEST_TIMEOUT = timedelta(seconds=120)
_CONNECT_TIMEOUT = timedelta(seconds=5)
# Shorter than others wait for a database lock: `place` and `delete` run while one is held.
_RETRY_TIMEOUT = timedelta(seconds=10)
_RETRIES = 4


@dataclass(frozen=True)
class S3Config:
    """One bucket and how to reach it; without keys the usual AWS environment is asked.

    `endpoint` None means AWS itself. Keys stay out of the representation.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)


class S3PendingBlob:
    """An upload: first a local temporary file, then an object."""

    def __init__(self, store: S3BlobStore, received: IncomingFile) -> None:
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
        info = self._received.info
        if self._store.find(info.sha256) is None:
            self._store.send(self.path, info)

    def place(self) -> None:
        # Under the lock of this hash: whoever removed the object since `prepare` has finished.
        self.prepare()


class S3BlobStore:
    """A BlobStore in a bucket; `scratch` is a local folder for files on their way."""

    def __init__(self, config: S3Config, scratch: Path, *, min_free_bytes: int = 0) -> None:
        self._config = config
        self._incoming = IncomingFolder(scratch, min_free_bytes=min_free_bytes)
        self._store = _connect(config)

    @contextmanager
    def receive(self, max_bytes: int) -> Iterator[S3PendingBlob]:
        with self._incoming.receive(max_bytes) as received:
            yield S3PendingBlob(self, received)

    def send(self, path: Path, info: BlobInfo) -> None:
        """Store a local file under its hash; the same bytes twice are harmless."""
        key = blob_key(info.sha256)
        try:
            with _failures_said():
                if info.size_bytes <= _PART_BYTES:
                    obstore.put(self._store, key, path, mode="create", use_multipart=False)
                else:  # parts cannot be conditional, but only their completion is visible
                    obstore.put(
                        self._store,
                        key,
                        path,
                        use_multipart=True,
                        chunk_size=_PART_BYTES,
                        max_concurrency=_PARTS_AT_ONCE,
                    )
        except AlreadyExistsError:
            return  # another upload of the same bytes was quicker
        except FileNotFoundError as error:
            raise Unavailable("The file store has no such bucket.") from error

    def open(self, sha256: str) -> BinaryIO:
        info = self.find(sha256)
        if info is None:
            raise BlobMissing(sha256)
        return io.BufferedReader(_ObjectReader(self._store, info), _READ_AHEAD_BYTES)

    def read_range(
        self, sha256: str, start: int, stop: int, chunk_bytes: int = 64 * 1024
    ) -> Iterator[bytes]:
        return read_part(self.open(sha256), start, stop, chunk_bytes)

    def find(self, sha256: str) -> BlobInfo | None:
        key = blob_key(sha256)
        try:
            with _failures_said():
                found = obstore.head(self._store, key)
        except FileNotFoundError:
            return None
        return BlobInfo(sha256, found["size"], found["last_modified"])

    @contextmanager
    def local_path(self, sha256: str) -> Iterator[Path]:
        with self.open(sha256) as source, self._incoming.temporary() as file:
            with disk_full_said():
                shutil.copyfileobj(source, file, _PART_BYTES)
                file.flush()
            yield Path(file.name)

    def delete(self, sha256: str) -> bool:
        if self.find(sha256) is None:  # S3 itself does not say whether there was something
            return False
        with _failures_said():
            obstore.delete(self._store, blob_key(sha256))
        return True

    def list_blobs(self) -> Iterator[BlobInfo]:
        try:
            with _failures_said():
                for batch in obstore.list(self._store, "sha256"):
                    for found in batch:
                        sha256 = find_hash(found["path"])
                        if sha256 is not None:
                            yield BlobInfo(sha256, found["size"], found["last_modified"])
        except FileNotFoundError:
            return  # many stores make the bucket on the first upload

    def remove_stale_uploads(self) -> int:
        """Local files only: parts of broken uploads are ended by a rule of the bucket."""
        return self._incoming.remove_stale()


class _ObjectReader(io.RawIOBase):
    """An object as a file; each `readinto` is one ranged request."""

    def __init__(self, store: S3Store, info: BlobInfo) -> None:
        super().__init__()
        self._store = store
        self._info = info
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size_bytes}
        at = origin[whence] + offset
        if at < 0:
            raise ValueError("a position must not be negative")
        self._at = at
        return at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._info.size_bytes)
        if stop <= self._at:
            return 0
        try:
            with _failures_said():
                key = blob_key(self._info.sha256)
                data = obstore.get_range(self._store, key, start=self._at, end=stop)
        except FileNotFoundError:
            raise BlobMissing(self._info.sha256) from None
        view[: len(data)] = memoryview(data)
        self._at += len(data)
        return len(data)


def _connect(config: S3Config) -> S3Store:
    options: AwsOptions = {"region": config.region}
    if config.endpoint is not None:
        options["endpoint"] = config.endpoint
    if config.access_key is not None and config.secret_key is not None:
        options["access_key_id"] = config.access_key
        options["secret_access_key"] = config.secret_key
    is_plain = config.endpoint is not None and config.endpoint.startswith("http://")
    return S3Store(
        config.bucket,
        prefix=config.prefix or None,
        config=options,
        client_options={
            "allow_http": is_plain,
            "timeout": _REQUEST_TIMEOUT,
            "connect_timeout": _CONNECT_TIMEOUT,
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
    )


@contextmanager
def _failures_said() -> Iterator[None]:
    """Make a store that does not answer, or refuses us, a 503; FileNotFoundError passes."""
    try:
        yield
    except AlreadyExistsError:
        raise
    except BaseError as error:
        raise Unavailable("The file store cannot be used now; try again shortly.") from error
