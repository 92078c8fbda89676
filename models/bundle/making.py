"""From a trained network to a bundle: export, golden vectors, agreement of runtimes, files.

Legend: K texts, E embedding width, R reference clips.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.bundle.calibration import Calibration, calibration_to_json
from models.bundle.disk import (
    Content,
    check_file,
    read_manifest,
    save_bundle,
)
from models.bundle.encoder import BundleEncoder
from models.bundle.exporting import export_towers, round_weights
from models.bundle.golden import GOLDEN_TEXTS, Golden, golden_clip, golden_to_bytes
from models.bundle.loading import load_bundle
from models.bundle.manifest import (
    CALIBRATION_FILE,
    CARD_FILE,
    GOLDEN_FILE,
    REFERENCE_FILE,
    TOKENIZER_FILE,
    Description,
    FileEntry,
    Manifest,
    OnnxRuntime,
    Runtimes,
    TextSpec,
    TorchRuntime,
    WeightStorage,
    complete_manifest,
    is_document,
)
from models.bundle.onnx_towers import OnnxTowers
from models.bundle.reference import reference_to_bytes
from models.bundle.self_test import (
    MIN_GOLDEN_COSINE,
    require_cosine,
    run_self_test,
)
from models.bundle.tokenization import BundleTokenizer
from models.bundle.torch_towers import TorchTowers, pack_network
from models.checksum import file_sha256
from models.networks.muq_mulan import MuQMuLan

Vectors = NDArray[np.float32]

# What the exported int8 towers may lose against the network that they came from.
MIN_INT8_COSINE = 0.99
AUDIO_ONNX, TEXT_ONNX, TORCH_WEIGHTS = "audio.onnx", "text.onnx", "model.safetensors"


@dataclass(frozen=True)
class BundleFacts:
    """What a trained network does not know about itself."""

    name: str
    languages: tuple[str, ...]
    licence: str
    lineage: Mapping[str, Any]
    tag_templates: tuple[str, ...] = ("{label}",)
    max_text_tokens: int = 256
    pad_token_id: int = 0


@dataclass(frozen=True)
class BundleStorage:
    """How weights are kept: see `models.bundle.exporting` for the ONNX files.

    Torch weights are kept in full, shared with the ONNX files as far as these hold the same
    values (`models.bundle.shared_weights`), or not at all.
    """

    audio_weights: WeightStorage = "fp32"
    text_weights: WeightStorage = "fp32"
    torch_weights: Literal["full", "shared", "none"] = "full"


@dataclass(frozen=True)
class Extras:
    """Files that may be added or replaced later without changing the model's identity."""

    card: str | None = None
    reference: Vectors | None = None
    calibration: Calibration | None = None
    others: Mapping[str, Content] = field(default_factory=dict)

    def as_files(self) -> dict[str, Content]:
        files: dict[str, Content] = dict(self.others)
        if self.card is not None:
            files[CARD_FILE] = self.card.encode()
        if self.reference is not None:
            files[REFERENCE_FILE] = reference_to_bytes(self.reference)
        if self.calibration is not None:
            files[CALIBRATION_FILE] = calibration_to_json(self.calibration)
        return files


def make_bundle(
    network: MuQMuLan,
    tokenizer_json: Path | bytes,
    out: Path | str,
    facts: BundleFacts,
    extras: Extras,
    storage: BundleStorage | None = None,
    *,
    overwrite: bool = False,
) -> Manifest:
    """Export a trained network and write its bundle, which is then loaded and tested.

    Golden vectors are those of the ONNX towers, which give the bundle its identity; the torch
    network must meet them (cosine 0.9999, or 0.999 with int8 weights), else BundleSelfTestError.
    `extras.card` is required; reference and calibration may follow with `amend_bundle`.
    """
    storage = storage or BundleStorage()
    network = copy.deepcopy(network).eval().cpu()
    round_weights(network.audio, storage.audio_weights)
    round_weights(network.text, storage.text_weights)
    towers = export_towers(
        network, audio_weights=storage.audio_weights, text_weights=storage.text_weights
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / AUDIO_ONNX).write_bytes(towers.audio)
        (folder / TEXT_ONNX).write_bytes(towers.text)
        tokenizer = (
            tokenizer_json if isinstance(tokenizer_json, bytes) else tokenizer_json.read_bytes()
        )
        (folder / TOKENIZER_FILE).write_bytes(tokenizer)
        torch_runtime = None
        if storage.torch_weights != "none":
            sharing = [folder / AUDIO_ONNX, folder / TEXT_ONNX]
            torch_runtime, weights = pack_network(
                network, TORCH_WEIGHTS, sharing if storage.torch_weights == "shared" else ()
            )
            (folder / TORCH_WEIGHTS).write_bytes(weights)
        description = _describe(network, facts, storage, torch_runtime)
        golden = _golden(network, description, folder, storage)
        (folder / GOLDEN_FILE).write_bytes(golden_to_bytes(golden))
        files: dict[str, Content] = {path.name: path for path in folder.iterdir()}
        manifest = save_bundle(
            out, description, {**files, **extras.as_files()}, overwrite=overwrite
        )
    for runtime in ("onnx",) if torch_runtime is None else ("onnx", "torch"):
        load_bundle(out, device="cpu", runtime=runtime)
    return manifest


def amend_bundle(folder: Path | str, extras: Extras, **changes: Any) -> Manifest:
    """Rewrite a bundle with other extras, or other licence, lineage, languages, templates or name.

    Weights, tokenizer and golden vectors stay, and with them the model_id. Every file is checked
    first. Raises BundleDamagedError as reading does.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    kept: dict[str, Content] = {
        name: folder / name if is_document(name) else check_file(folder, manifest, name)
        for name in manifest.files
        if name not in extras.as_files()
    }
    described = {name: getattr(manifest, name) for name in Description.model_fields}
    description = Description(**{**described, **changes})
    return save_bundle(folder, description, {**kept, **extras.as_files()}, overwrite=True)


def _describe(
    network: MuQMuLan,
    facts: BundleFacts,
    storage: BundleStorage,
    torch_runtime: TorchRuntime | None,
) -> Description:
    return Description(
        name=facts.name,
        embed_dim=network.config.embed_dim,
        clip_seconds=network.config.clip_s,
        front_end=network.config.muq.mel,
        text=TextSpec(max_tokens=facts.max_text_tokens, pad_token_id=facts.pad_token_id),
        languages=facts.languages,
        licence=facts.licence,
        lineage=dict(facts.lineage),
        tag_templates=facts.tag_templates,
        runtimes=Runtimes(
            onnx=OnnxRuntime(
                audio=AUDIO_ONNX,
                text=TEXT_ONNX,
                audio_weights=storage.audio_weights,
                text_weights=storage.text_weights,
            ),
            torch=torch_runtime,
        ),
    )


def _golden(
    network: MuQMuLan, description: Description, folder: Path, storage: BundleStorage
) -> Golden:
    """The ONNX towers' golden vectors, which pass the self-test and which torch meets."""
    entries = {
        path.name: FileEntry(sha256=file_sha256(path), size_bytes=path.stat().st_size)
        for path in folder.iterdir()
    }
    manifest = complete_manifest(description, entries)
    tokenizer = BundleTokenizer((folder / TOKENIZER_FILE).read_bytes(), manifest.text)
    no_reference = np.empty((0, manifest.embed_dim), dtype=np.float32)
    onnx, torch = (
        BundleEncoder(manifest, towers, tokenizer, no_reference, None)
        for towers in (
            OnnxTowers(manifest, folder, device="cpu", threads=1),
            TorchTowers(network, device="cpu", precision="fp32", threads=0),
        )
    )
    samples = round(manifest.clip_seconds * manifest.sample_rate_hz)
    clip = golden_clip(samples, manifest.sample_rate_hz)[None]
    golden = Golden(onnx.embed_clips(clip), GOLDEN_TEXTS, onnx.embed_text(GOLDEN_TEXTS))
    reduced = "int8" in (storage.audio_weights, storage.text_weights)
    floor = MIN_INT8_COSINE if reduced else MIN_GOLDEN_COSINE
    texts = torch.embed_text(GOLDEN_TEXTS)
    require_cosine("ONNX and torch clips", torch.embed_clips(clip), golden.clips, floor)
    require_cosine("ONNX and torch texts", texts, golden.text_vectors, floor)
    run_self_test(onnx, golden, reduced_precision=False)
    return golden
