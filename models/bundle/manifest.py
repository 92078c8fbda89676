"""`bundle.json`: what a bundle is, which files it has, and how its identity follows from them."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from models.errors import BundleFormatError, BundleTooNewError
from models.networks.config import MelConfig

MANIFEST_FILE = "bundle.json"
SCHEMA_VERSION = 1
MODEL_ID_LENGTH = 16
TOKENIZER_FILE = "tokenizer.json"
CALIBRATION_FILE = "calibration.json"
REFERENCE_FILE = "reference.npz"
GOLDEN_FILE = "golden.npz"
CARD_FILE = "MODEL_CARD.md"

# What people read may be edited; it is noted, and stops nothing.
_DOCUMENT_SUFFIXES = (".md", ".txt")

# A bundle is flat: a name can reach neither a subfolder nor anything outside.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
WeightStorage = Literal["fp32", "fp16", "int8"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Part):
    """Checksum and size of one file."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class TextSpec(_Part):
    """What the text side accepts; longer texts are refused, not cut."""

    max_tokens: Annotated[int, Field(gt=0)]
    pad_token_id: Annotated[int, Field(ge=0)]


class OnnxRuntime(_Part):
    """Files of the ONNX towers: log-mel [N, M, F] and token ids with mask [N, L] to [N, E]."""

    audio: FileName
    text: FileName
    audio_weights: WeightStorage = "fp32"
    text_weights: WeightStorage = "fp32"


class SharedTensor(_Part):
    """A torch tensor that an ONNX file holds already, as it is or transposed."""

    file: FileName
    initializer: str
    transposed: bool


class TorchRuntime(_Part):
    """Weights and the configurations from which the torch towers are built.

    `shared` names the tensors that are not in `weights` because an ONNX file has them.
    """

    weights: FileName
    shared: dict[str, SharedTensor] = {}
    network: dict[str, Any]
    text_encoder: dict[str, Any] | None = None


class Runtimes(_Part):
    onnx: OnnxRuntime | None = None
    torch: TorchRuntime | None = None


class Description(_Part):
    """The parts of a manifest that the maker of a bundle writes."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    embed_dim: Annotated[int, Field(gt=0)]
    clip_seconds: Annotated[float, Field(gt=0)]
    front_end: MelConfig
    text: TextSpec
    languages: tuple[str, ...]
    licence: Annotated[str, StringConstraints(min_length=1)]
    lineage: dict[str, Any]
    tag_templates: tuple[str, ...]
    runtimes: Runtimes


class Manifest(Description):
    """`bundle.json` as stored."""

    schema_version: int
    model_id: str
    sample_rate_hz: int
    files: dict[FileName, FileEntry]


def complete_manifest(description: Description, files: dict[str, FileEntry]) -> Manifest:
    """The manifest of a description and its files, with their identity worked out."""
    return Manifest(
        **dict(description),
        schema_version=SCHEMA_VERSION,
        model_id=model_id_of(description, files),
        sample_rate_hz=description.front_end.sample_rate_hz,
        files=files,
    )


def model_id_of(description: Description, files: dict[str, FileEntry]) -> str:
    """A short hash of what determines vectors: weights, tokenizer, front end, sizes.

    Name, card, licence, templates, calibration and reference may change under the same id. The
    weights are those of the ONNX files where there are any, else those of the torch file: both
    give the same vectors, so that a bundle may drop its torch weights and stay itself.
    """
    onnx, torch = description.runtimes.onnx, description.runtimes.torch
    content: dict[str, Any] = {
        "embed_dim": description.embed_dim,
        "clip_seconds": description.clip_seconds,
        "front_end": description.model_dump(mode="json")["front_end"],
        "tokenizer": files[TOKENIZER_FILE].sha256,
    }
    if onnx is not None:
        content["weights"] = [files[onnx.audio].sha256, files[onnx.text].sha256]
    elif torch is not None:
        content["weights"] = [files[torch.weights].sha256]
        content["network"] = [torch.network, torch.text_encoder]
    else:
        raise BundleFormatError("a bundle needs the files of at least one runtime")
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:MODEL_ID_LENGTH]


def required_files(description: Description) -> set[str]:
    """Files without which the bundle cannot be loaded by the runtimes that it names."""
    names = {TOKENIZER_FILE, GOLDEN_FILE}
    if description.runtimes.onnx is not None:
        names |= {description.runtimes.onnx.audio, description.runtimes.onnx.text}
    if description.runtimes.torch is not None:
        names.add(description.runtimes.torch.weights)
        names |= {tensor.file for tensor in description.runtimes.torch.shared.values()}
    return names


def is_document(name: str) -> bool:
    """Whether a file is for people alone, so that an edit does no harm."""
    return name.endswith(_DOCUMENT_SUFFIXES)


def manifest_to_json(manifest: Manifest) -> str:
    """`bundle.json` as written: indented, keys in a fixed order."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def manifest_from_json(text: str | bytes) -> Manifest:
    """Parse and check `bundle.json`.

    Raises BundleTooNewError for a schema of a newer version, BundleFormatError for all else that
    is wrong: no JSON, unknown or missing fields, file names with a path in them, files that are
    needed and not listed, an identity that does not follow from the rest.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise BundleFormatError(f"{MANIFEST_FILE} is not JSON: {error}") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if not isinstance(version, int) or version < 1:
        raise BundleFormatError(f"{MANIFEST_FILE} has no schema_version: not a model bundle")
    if version > SCHEMA_VERSION:
        raise BundleTooNewError(
            f"the bundle has schema version {version}; this muquery reads up to {SCHEMA_VERSION}: "
            "update muquery, or export the bundle for this version"
        )
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        faults = [f"{_where(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise BundleFormatError(f"{MANIFEST_FILE} is not valid: {'; '.join(faults)}") from error
    _check_consistency(manifest)
    return manifest


def _check_consistency(manifest: Manifest) -> None:
    unlisted = sorted(required_files(manifest) - set(manifest.files))
    if unlisted:
        raise BundleFormatError(f"{MANIFEST_FILE} gives no checksum for {', '.join(unlisted)}")
    if manifest.sample_rate_hz != manifest.front_end.sample_rate_hz:
        raise BundleFormatError(f"{MANIFEST_FILE} gives two different sample rates")
    if manifest.model_id != model_id_of(manifest, manifest.files):
        raise BundleFormatError(f"the model_id in {MANIFEST_FILE} does not follow from its content")


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location) or "the document"
