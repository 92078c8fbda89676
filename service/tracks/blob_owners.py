"""The rule between track rows and blobs: a blob is removed only when no track owns it.

Placing a blob with its row and removing an unowned one both hold the same per-hash lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from service.blobs.store import BlobStore
from service.database.engine import Database, LockSpace, lock_until_commit
from service.database.tables import Track
from service.errors import Unavailable

logger = logging.getLogger(__name__)

_BATCH = 500  # blobs whose owners are asked for at once


def lock_blob(session: Session, sha256: str) -> None:
    """Hold off everyone else who would place or remove this blob, until the commit."""
    key = int.from_bytes(bytes.fromhex(sha256[:8]), "big", signed=True)
    lock_until_commit(session, LockSpace.BLOB, key)


def remove_unowned(database: Database, blobs: BlobStore, sha256: str) -> bool:
    """Remove the blob unless a track owns it; True when it was removed."""
    with database.write() as session:
        lock_blob(session, sha256)
        if session.scalar(select(exists().where(Track.sha256 == sha256))):
            return False
        return blobs.delete(sha256)


def release_blob(database: Database, blobs: BlobStore, sha256: str) -> None:
    """The same after its track was deleted: a store that is down must not undo that answer."""
    try:
        remove_unowned(database, blobs, sha256)
    except Unavailable:
        logger.warning("the file store did not answer: a deleted track's file is collected later")


def collect_orphans(database: Database, blobs: BlobStore, *, grace_s: float = 3600.0) -> int:
    """Remove blobs without a track that are older than the grace period; returns how many.

    A kill between a delete's commit and its unlink, or between a blob's placing and its commit,
    leaves such blobs. The grace keeps young uploads out of the scan; the lock would protect them
    anyway.
    """
    oldest_kept = datetime.now(UTC) - timedelta(seconds=grace_s)
    old = (blob.sha256 for blob in blobs.list_blobs() if blob.modified_at < oldest_kept)
    removed = 0
    while batch := list(islice(old, _BATCH)):
        for sha256 in sorted(set(batch) - _owned(database, batch)):
            removed += remove_unowned(database, blobs, sha256)
    if removed:
        logger.info("removed %d blobs that no track owns", removed)
    return removed


def _owned(database: Database, hashes: Sequence[str]) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(Track.sha256).where(Track.sha256.in_(hashes))))
