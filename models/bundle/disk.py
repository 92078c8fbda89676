"""Bundle folders on disk: read with checksums, written whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models.bundle.manifest import (
    CARD_FILE,
    MANIFEST_FILE,
    Description,
    FileEntry,
    Manifest,
    complete_manifest,
    manifest_from_json,
    manifest_to_json,
    required_files,
)
from models.checksum import file_sha256
from models.errors import BundleDamagedError, BundleError, BundleFormatError, BundleNotFoundError
from models.whole_file import sync_file, sync_folder

MAX_MANIFEST_BYTES = 4 * 1024 * 1024

# A file's content: bytes, or the path of a file that is copied.
Content = bytes | Path


def read_manifest(folder: Path) -> Manifest:
    """The checked manifest of a bundle's folder.

    Raises BundleNotFoundError where there is none, BundleFormatError as `manifest_from_json` does.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise BundleNotFoundError(f"{folder} is not a model bundle: it has no {MANIFEST_FILE}")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleFormatError(f"{MANIFEST_FILE} is larger than {MAX_MANIFEST_BYTES} bytes")
    return manifest_from_json(path.read_bytes())


def locate_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """The path of a listed file, present and of the listed size; its content is not read.

    Raises BundleDamagedError where it is missing or of another size, BundleFormatError where a
    link leads out of the folder.
    """
    path = folder / name
    if not path.is_file():
        raise BundleDamagedError(f"{name} is missing from the bundle")
    if path.resolve().parent != folder.resolve():
        raise BundleFormatError(f"{name} leads out of the bundle's folder")
    entry = manifest.files[name]
    if path.stat().st_size != entry.size_bytes:
        raise BundleDamagedError(
            f"{name} has {path.stat().st_size} bytes where {entry.size_bytes} belong"
        )
    return path


def read_file(folder: Path, manifest: Manifest, name: str) -> bytes:
    """A listed file's bytes, which have been checked: what is used is what was hashed.

    Raises BundleDamagedError where it is missing or altered.
    """
    content = locate_file(folder, manifest, name).read_bytes()
    _require_sha256(name, manifest, hashlib.sha256(content).hexdigest())
    return content


def check_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """The path of a listed file whose checksum holds, read in pieces."""
    path = locate_file(folder, manifest, name)
    _require_sha256(name, manifest, file_sha256(path))
    return path


def _require_sha256(name: str, manifest: Manifest, found: str) -> None:
    if found != manifest.files[name].sha256:
        raise BundleDamagedError(f"{name} differs from its checksum in {MANIFEST_FILE}")


def save_bundle(
    folder: Path | str,
    description: Description,
    files: Mapping[str, Content],
    *,
    overwrite: bool = False,
) -> Manifest:
    """Write a bundle: every file and the manifest, or nothing.

    `files` must hold what `required_files` names and a MODEL_CARD.md. Written to a folder beside
    the target, synced, renamed; no reader ever sees a part of a bundle, or a mixture of two.
    Raises BundleError where the target exists (unless `overwrite`), BundleFormatError where a
    file is missing.
    """
    target = Path(folder)
    missing = sorted((required_files(description) | {CARD_FILE}) - set(files))
    if missing:
        raise BundleFormatError(f"a bundle needs {', '.join(missing)}")
    with folder_written_whole(target, overwrite=overwrite) as temporary:
        entries = {name: _write_file(temporary / name, files[name]) for name in sorted(files)}
        manifest = complete_manifest(description, entries)
        text = manifest_to_json(manifest)
        # What cannot be read back is not written.
        manifest_from_json(text)
        _write_file(temporary / MANIFEST_FILE, text.encode())
    return manifest


@contextmanager
def folder_written_whole(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends well."""
    if target.exists() and not overwrite:
        raise BundleError(f"{target} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        sync_folder(temporary)
        replace_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """Rename `new` to `target`; what was there is set aside first and deleted last.

    Between the two renames no folder has the name: a reader then finds nothing, never a mixture.
    """
    if target.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        target.rename(aside / target.name)
        new.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        new.rename(target)
    sync_folder(target.parent)


def _write_file(path: Path, content: Content) -> FileEntry:
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
    sync_file(path)
    return FileEntry(sha256=file_sha256(path), size_bytes=path.stat().st_size)
