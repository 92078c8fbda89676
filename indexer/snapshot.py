"""Saving an index so that a start need not rebuild it; never trusted without proof.

A folder holds one manifest and the data file that it names. Both are written under another name,
flushed to disk, and renamed, the manifest last, so that a crash leaves the old pair or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from indexer.errors import SnapshotError, SnapshotFault
from indexer.faiss_index import FaissConfig, FaissIndex, WrittenIndex

SCHEMA = 1
MANIFEST = "manifest.json"
_LOCK = ".lock"
_DATA_NAME = re.compile(r"index-[0-9]+-[0-9a-f]{32}\.faiss")
_LEFTOVERS = ("index-*.faiss", "*.tmp")
_READ_BYTES = 1 << 20


class WritableIndex(Protocol):
    """What can be saved."""

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def write(self, path: Path) -> WrittenIndex: ...


@dataclass(frozen=True)
class Manifest:
    """What the data file must be; `seq` is the last change that it contains."""

    schema: int
    file: str
    sha256: str
    size_bytes: int
    seq: int
    model_id: str
    dim: int
    count: int


def save_snapshot(index: WritableIndex, folder: Path) -> Manifest:
    """Save an index, replace the folder's snapshot by it, and delete what is obsolete.

    When it returns, the snapshot is on disk. Processes that save to one folder take turns. Changes
    of the index wait while its file is written. Raises OSError; the old snapshot stays then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder):
        draft = folder / f"{uuid.uuid4().hex}.tmp"
        try:
            written = index.write(draft)
            name = f"index-{written.seq}-{uuid.uuid4().hex}.faiss"
            manifest = Manifest(
                schema=SCHEMA,
                file=name,
                sha256=_sha256(draft),
                size_bytes=draft.stat().st_size,
                seq=written.seq,
                model_id=index.model_id,
                dim=index.dim,
                count=written.count,
            )
            _publish(draft, folder / name)
        finally:
            draft.unlink(missing_ok=True)
        _write_manifest(folder, manifest)
        _clean(folder, keep=name)
        return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest as written; raises SnapshotError when there is none that we understand."""
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SnapshotError(SnapshotFault.MISSING) from None
    except (OSError, ValueError) as error:
        raise SnapshotError(SnapshotFault.MANIFEST_INVALID) from error
    if not isinstance(fields, dict):
        raise SnapshotError(SnapshotFault.MANIFEST_INVALID)
    if fields.get("schema") != SCHEMA:
        raise SnapshotError(SnapshotFault.SCHEMA_UNKNOWN)
    try:
        manifest = Manifest(**fields)
    except TypeError as error:
        raise SnapshotError(SnapshotFault.MANIFEST_INVALID) from error
    if not _is_sound(manifest):
        raise SnapshotError(SnapshotFault.MANIFEST_INVALID)
    return manifest


def load_snapshot(
    folder: Path, *, model_id: str, dim: int, config: FaissConfig | None = None
) -> FaissIndex:
    """The folder's index, if it is proven whole and of this model; raises SnapshotError.

    The caller then applies the changes above its `applied_seq`, or rebuilds after an error.
    """
    manifest = read_manifest(folder)
    while True:
        try:
            return _load(folder, manifest, model_id, dim, config)
        except SnapshotError:
            # Another process may have saved, and deleted our file, in the meantime.
            latest = read_manifest(folder)
            if latest == manifest:
                raise
            manifest = latest


def _load(
    folder: Path, manifest: Manifest, model_id: str, dim: int, config: FaissConfig | None
) -> FaissIndex:
    if manifest.model_id != model_id:
        raise SnapshotError(SnapshotFault.MODEL_MISMATCH)
    if manifest.dim != dim:
        raise SnapshotError(SnapshotFault.DIM_MISMATCH)
    path = folder / manifest.file
    try:
        is_whole = path.stat().st_size == manifest.size_bytes and _sha256(path) == manifest.sha256
    except OSError as error:
        raise SnapshotError(SnapshotFault.FILE_MISSING) from error
    if not is_whole:
        raise SnapshotError(SnapshotFault.CHECKSUM_MISMATCH)
    try:
        index = FaissIndex.read(path, model_id=model_id, dim=dim, seq=manifest.seq, config=config)
    except ValueError as error:
        raise SnapshotError(SnapshotFault.UNREADABLE) from error
    if index.count != manifest.count:
        raise SnapshotError(SnapshotFault.COUNT_MISMATCH)
    return index


def _is_sound(manifest: Manifest) -> bool:
    numbers = (manifest.size_bytes, manifest.seq, manifest.dim, manifest.count)
    texts = (manifest.file, manifest.sha256, manifest.model_id)
    return (
        all(type(number) is int and number >= 0 for number in numbers)
        and all(isinstance(text, str) for text in texts)
        # A plain name of our making: a manifest must not lead out of its folder.
        and _DATA_NAME.fullmatch(manifest.file) is not None
    )


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    draft = folder / f"{uuid.uuid4().hex}.tmp"
    try:
        draft.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
        _publish(draft, folder / MANIFEST)
    finally:
        draft.unlink(missing_ok=True)


def _publish(draft: Path, target: Path) -> None:
    """Give a finished file its name, on disk and not only in the page cache."""
    _fsync(draft)
    draft.replace(target)
    _fsync(target.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _clean(folder: Path, keep: str) -> None:
    for pattern in _LEFTOVERS:
        for path in folder.glob(pattern):
            if path.name != keep:
                with suppress(OSError):
                    path.unlink()


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
