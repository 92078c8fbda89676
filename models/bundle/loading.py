"""One entry to a model: by the default, a bundled name, a folder, or a published repository id."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle.calibration import Calibration, calibration_from_json
from models.bundle.disk import check_file, read_file, read_manifest
from models.bundle.encoder import BundleEncoder
from models.bundle.golden import golden_from_bytes
from models.bundle.manifest import (
    CALIBRATION_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    REFERENCE_FILE,
    TOKENIZER_FILE,
    Manifest,
)
from models.bundle.reference import reference_from_bytes
from models.bundle.runtime_choice import RuntimeChoice, choose_runtime
from models.bundle.self_test import run_self_test
from models.bundle.tokenization import BundleTokenizer
from models.bundle.towers import Towers
from models.errors import BundleNotFoundError

DEFAULT_BUNDLE = "muquery-small"
BUNDLES_FOLDER = Path(__file__).resolve().parent.parent / "bundles"
_REPOSITORY_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load_bundle(
    name_or_path: str | Path | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    *,
    store: Path | None = None,
) -> BundleEncoder:
    """Load a model, check its files, test that it computes what it should, and return it.

    `name_or_path`: None for the bundled default, the name of a bundled model, a folder (a bundle,
    or the published layout), or the id of a published repository that `muquery model pull` has
    put into `store`. `device` auto, cpu or cuda; `runtime` auto, onnx or torch; `precision` auto,
    fp32 or bf16; 0 `threads` means all cores. Nothing is ever downloaded here.

    Raises BundleNotFoundError, BundleFormatError, BundleDamagedError, BundleSelfTestError, and
    RuntimeUnavailableError for a runtime, device or precision that cannot be had.
    """
    folder = find_bundle_folder(name_or_path, store=store)
    if not (folder / MANIFEST_FILE).is_file():
        from models.bundle.published_bundle import load_published_bundle

        return load_published_bundle(
            folder, device=device, runtime=runtime, precision=precision, threads=threads
        )
    manifest = read_manifest(folder)
    choice = choose_runtime(manifest.runtimes, device=device, runtime=runtime, precision=precision)
    encoder = BundleEncoder(
        manifest,
        _load_towers(folder, manifest, choice, threads),
        BundleTokenizer(read_file(folder, manifest, TOKENIZER_FILE), manifest.text),
        read_reference(folder, manifest),
        read_calibration(folder, manifest),
    )
    golden = golden_from_bytes(read_file(folder, manifest, GOLDEN_FILE))
    run_self_test(encoder, golden, reduced_precision=_is_reduced(manifest, choice))
    return encoder


def find_bundle_folder(name_or_path: str | Path | None, *, store: Path | None = None) -> Path:
    """The folder that a model's name stands for.

    Raises BundleNotFoundError; for a published id that is not in the store it says how to get it.
    """
    if name_or_path is None:
        name_or_path = DEFAULT_BUNDLE
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    name = str(name_or_path)
    bundled = BUNDLES_FOLDER / name
    if re.fullmatch(r"[\w.-]+", name) and bundled.is_dir():
        return bundled
    if _REPOSITORY_ID.fullmatch(name):
        return _find_pulled(name, store or default_store())
    raise BundleNotFoundError(
        f"there is no model {name!r}: neither a folder, nor one of {', '.join(list_bundled())}"
        if list_bundled()
        else f"there is no model {name!r}: not a folder, and no model comes with this installation"
    )


def list_bundled() -> list[str]:
    """Names of the models that come with this installation."""
    if not BUNDLES_FOLDER.is_dir():
        return []
    return sorted(path.parent.name for path in BUNDLES_FOLDER.glob(f"*/{MANIFEST_FILE}"))


def default_store() -> Path:
    """Where published models are put when nothing else is said."""
    return Path.home() / ".local" / "share" / "muquery" / "models"


def store_folder(repository_id: str, store: Path) -> Path:
    """Where a published repository lies in the store: `owner--name`."""
    return store / repository_id.replace("/", "--")


def _find_pulled(repository_id: str, store: Path) -> Path:
    folder = store_folder(repository_id, store)
    if not folder.is_dir():
        raise BundleNotFoundError(
            f"{repository_id} has not been downloaded; `muquery model pull {repository_id}` shows "
            "its size and licence and fetches it"
        )
    return folder


def _load_towers(folder: Path, manifest: Manifest, choice: RuntimeChoice, threads: int) -> Towers:
    if choice.runtime == "onnx":
        from models.bundle.onnx_towers import OnnxTowers

        onnx = manifest.runtimes.onnx
        assert onnx is not None
        for name in (onnx.audio, onnx.text):
            check_file(folder, manifest, name)
        return OnnxTowers(manifest, folder, device=choice.device, threads=threads)
    from models.bundle.torch_towers import TorchTowers, unpack_network

    spec = manifest.runtimes.torch
    assert spec is not None
    for name in (spec.weights, *sorted({tensor.file for tensor in spec.shared.values()})):
        check_file(folder, manifest, name)
    network = unpack_network(spec, folder)
    return TorchTowers(network, device=choice.device, precision=choice.precision, threads=threads)


def read_reference(folder: Path, manifest: Manifest) -> NDArray[np.float32]:
    """Read a bundle's reference vectors [R, E]; none of them where it has no reference."""
    if REFERENCE_FILE not in manifest.files:
        return np.empty((0, manifest.embed_dim), dtype=np.float32)
    content = read_file(folder, manifest, REFERENCE_FILE)
    return reference_from_bytes(content, manifest.embed_dim)


def read_calibration(folder: Path, manifest: Manifest) -> Calibration | None:
    """Read a bundle's calibration; None where it has none."""
    if CALIBRATION_FILE not in manifest.files:
        return None
    return calibration_from_json(read_file(folder, manifest, CALIBRATION_FILE))


def _is_reduced(manifest: Manifest, choice: RuntimeChoice) -> bool:
    onnx = manifest.runtimes.onnx
    stored_int8 = onnx is not None and "int8" in (onnx.audio_weights, onnx.text_weights)
    return choice.precision == "bf16" or stored_int8
