"""Checking a bundle from end to end: every file, every runtime that can run here, the self-test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.bundle.disk import check_file, read_manifest
from models.bundle.loading import load_bundle
from models.bundle.manifest import MANIFEST_FILE, is_document
from models.bundle.pins import SOURCE_FILE
from models.bundle.published_bundle import read_source
from models.bundle.runtime_choice import torch_is_installed
from models.checksum import file_sha256
from models.errors import BundleDamagedError, BundleFormatError


@dataclass(frozen=True)
class BundleReport:
    """A sound bundle: what it is, which runtimes were tried, and what is odd but harmless."""

    name: str
    model_id: str
    size_bytes: int
    runtimes: tuple[str, ...]
    notes: tuple[str, ...]


def verify_bundle(folder: Path | str) -> BundleReport:
    """Check all of a bundle's files and run its self-test in every runtime that this machine has.

    A published model that was pulled is checked against the checksums it was pinned with.

    Raises BundleDamagedError naming a missing or altered file, BundleSelfTestError, and
    BundleFormatError. An edited model card, or a file that does not belong, is only a note.
    """
    folder = Path(folder)
    if not (folder / MANIFEST_FILE).is_file() and (folder / SOURCE_FILE).is_file():
        return _verify_published(folder)
    manifest = read_manifest(folder)
    notes = []
    for name in sorted(manifest.files):
        try:
            check_file(folder, manifest, name)
        except BundleDamagedError as error:
            if not is_document(name):
                raise
            notes.append(str(error))
    listed = {*manifest.files, MANIFEST_FILE}
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in listed)
    notes += [f"{name} is not part of the bundle" for name in strangers]
    runtimes = []
    if manifest.runtimes.onnx is not None:
        load_bundle(folder, device="cpu", runtime="onnx")
        runtimes.append("onnx")
    if manifest.runtimes.torch is not None:
        if torch_is_installed():
            load_bundle(folder, device="cpu", runtime="torch")
            runtimes.append("torch")
        else:
            notes.append("the torch weights were not run: torch is not installed")
    size_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    return BundleReport(manifest.name, manifest.model_id, size_bytes, tuple(runtimes), tuple(notes))


def _verify_published(folder: Path) -> BundleReport:
    """A pulled model: its files against what was pinned when it was fetched, and the self-test."""
    pinned = read_source(folder).get("files", {})
    if not isinstance(pinned, dict):
        raise BundleFormatError(f"{SOURCE_FILE} lists no files")
    for place, sha256 in sorted(pinned.items()):
        path = folder / place
        if not path.is_file():
            raise BundleDamagedError(f"{place} is missing")
        if file_sha256(path) != sha256:
            raise BundleDamagedError(f"{place} differs from its checksum in {SOURCE_FILE}")
    encoder = load_bundle(folder, device="cpu", precision="fp32")
    size_bytes = sum((folder / place).stat().st_size for place in pinned)
    return BundleReport(encoder.name, encoder.model_id, size_bytes, (encoder.runtime,), ())
