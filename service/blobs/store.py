"""Where the bytes of uploads live: content-addressed, whole or not there at all.

    receive() -> PendingBlob.write ... finish -> prepare -> (in the SQL transaction) place

A blob exists only under the SHA-256 of its content. The row that owns it is inserted by the
transaction that places it, and a blob is removed only under the same per-hash lock (see
service/tracks/blob_owners.py), so that "same bytes uploaded while the last owner is deleted"
cannot end in a row without bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

_HASH_CHARS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class BlobInfo:
    """One stored blob; `modified_at` is when its bytes came, or came again."""

    sha256: str
    size_bytes: int
    modified_at: datetime


class BlobMissing(LookupError):
    """No blob has this hash."""


def blob_key(sha256: str) -> str:
    """Where a blob is below its store's root; raises ValueError for anything but a hash in hex."""
    if len(sha256) != 64 or not _HASH_CHARS.issuperset(sha256):
        raise ValueError("not a SHA-256 in hex")
    return f"sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def find_hash(key: str) -> str | None:
    """The hash that a key names; None for what was not put there by us."""
    sha256 = key.rpartition("/")[2]
    try:
        return sha256 if blob_key(sha256) == key else None
    except ValueError:
        return None


def read_part(file: BinaryIO, start: int, stop: int, chunk_bytes: int) -> Iterator[bytes]:
    """Bytes `start` to `stop` (excluded) of a file in chunks; closes it."""
    with file:
        file.seek(start)
        left = stop - start
        while left > 0 and (chunk := file.read(min(chunk_bytes, left))):
            left -= len(chunk)
            yield chunk


class PendingBlob(Protocol):
    """An upload on its way in; nobody else sees it before `place`."""

    def write(self, chunk: bytes) -> None:
        """Append; raises TooLarge past the cap and DiskFull when the disk runs out."""
        ...

    def finish(self) -> BlobInfo:
        """End the stream and make its bytes durable; still not visible."""
        ...

    @property
    def path(self) -> Path:
        """The finished bytes as a local file, for the decoder."""
        ...

    def prepare(self) -> None:
        """Do whatever is slow about `place`, outside the transaction.

        Raises Unavailable when a remote store does not answer.
        """
        ...

    def place(self) -> None:
        """Make the blob visible under its hash; quick, and harmless when it is there already."""
        ...


class BlobStore(Protocol):
    """Blobs by SHA-256; safe to share between threads and processes."""

    def receive(self, max_bytes: int) -> AbstractContextManager[PendingBlob]:
        """A new upload; whatever was not placed is gone after the block."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """The blob for reading; raises BlobMissing."""
        ...

    def read_range(
        self, sha256: str, start: int, stop: int, chunk_bytes: int = 64 * 1024
    ) -> Iterator[bytes]:
        """Bytes `start` to `stop` (excluded) in chunks; raises BlobMissing at once."""
        ...

    def find(self, sha256: str) -> BlobInfo | None: ...

    def local_path(self, sha256: str) -> AbstractContextManager[Path]:
        """The blob as a local file for the length of the block; raises BlobMissing."""
        ...

    def delete(self, sha256: str) -> bool:
        """Remove; False where there was nothing."""
        ...

    def list_blobs(self) -> Iterator[BlobInfo]: ...

    def remove_stale_uploads(self) -> int:
        """Collect what killed uploads left behind; uploads that are alive are not touched."""
        ...
