"""The model that fine-tuning starts from: a bundle with torch weights, or the published layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.bundle.disk import check_file, read_file
from models.bundle.encoder import BundleEncoder
from models.bundle.loading import find_bundle_folder, load_bundle
from models.bundle.manifest import MANIFEST_FILE, TOKENIZER_FILE, Manifest
from models.networks.muq_mulan import MuQMuLan


class ParentError(ValueError):
    """A model cannot be fine-tuned."""


@dataclass(frozen=True)
class Parent:
    """A model to start from: its folder, its manifest, and how it embeds."""

    folder: Path
    manifest: Manifest
    encoder: BundleEncoder

    def network(self) -> MuQMuLan:
        """Return a fresh copy of its network, in evaluation mode."""
        return _network(self.folder, self.manifest)

    def tokenizer(self) -> bytes:
        """Return its tokenizer.json."""
        if (self.folder / MANIFEST_FILE).is_file():
            return read_file(self.folder, self.manifest, TOKENIZER_FILE)
        from models.bundle.published_bundle import find_tokenizer

        return find_tokenizer(self.folder).read_bytes()


def open_parent(name: str, store: Path | None = None) -> Parent:
    """Find and test a model by name, folder or published id, on the torch runtime.

    Raises ParentError where it has no torch weights, and as `load_bundle` does.
    """
    folder = find_bundle_folder(name, store=store)
    encoder = load_bundle(folder, device="cpu", runtime="torch", precision="fp32", store=store)
    return Parent(folder, encoder.manifest, encoder)


def _network(folder: Path, manifest: Manifest) -> MuQMuLan:
    if not (folder / MANIFEST_FILE).is_file():
        from models.published import load_published

        network = load_published(folder)
        assert isinstance(network, MuQMuLan)
        return network
    from models.bundle.torch_towers import unpack_network

    spec = manifest.runtimes.torch
    if spec is None:
        raise ParentError(f"{manifest.name} has ONNX weights only, which cannot be trained")
    for name in (spec.weights, *sorted({tensor.file for tensor in spec.shared.values()})):
        check_file(folder, manifest, name)
    return unpack_network(spec, folder)
