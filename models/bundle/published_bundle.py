"""A folder in the published layout (config.json, model.safetensors), used as if it were a bundle.

Such a folder has no golden vectors, reference or calibration: its self-test asks for finite unit
vectors and for unrelated texts to lie apart, and relevance waits until a reference is built. It
needs torch, and the tokenizer.json of its text model.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from models.bundle.encoder import BundleEncoder
from models.bundle.manifest import (
    TOKENIZER_FILE,
    Description,
    FileEntry,
    Manifest,
    Runtimes,
    TextSpec,
    TorchRuntime,
    complete_manifest,
)
from models.bundle.pins import SOURCE_FILE
from models.bundle.runtime_choice import RuntimeChoice, choose_runtime
from models.bundle.self_test import run_self_test
from models.bundle.tokenization import BundleTokenizer
from models.checksum import file_sha256
from models.errors import BundleFormatError, BundleNotFoundError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
# The published recipe trains on English and Chinese text.
LANGUAGES = ("en", "zh")
UNKNOWN_LICENCE = "unknown; ask where the weights come from"
TAG_TEMPLATES = ("{label}", "{label} music", "A piece of {label} music.")


def load_published_bundle(
    folder: Path, *, device: str, runtime: str, precision: str, threads: int
) -> BundleEncoder:
    """The encoder of a folder in the published layout, tested.

    Raises BundleNotFoundError where the folder is neither that nor a bundle, BundleFormatError
    where it holds another kind of network or does not fit its config, and as `load_bundle` does.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise BundleNotFoundError(
                f"{folder} is no model: it has neither bundle.json nor {name}"
            )
    # A stand-in until the network is there; a machine without torch must hear of that first.
    stand_in = Runtimes(torch=TorchRuntime(weights=WEIGHTS_FILE, network={}))
    choice = choose_runtime(stand_in, device=device, runtime=runtime, precision=precision)
    encoder = _load(folder, choice, threads)
    run_self_test(encoder, None, reduced_precision=choice.precision == "bf16")
    return encoder


def _load(folder: Path, choice: RuntimeChoice, threads: int) -> BundleEncoder:
    from models.bundle.torch_towers import TorchTowers
    from models.networks.config import ConfigError, MuQMuLanConfig
    from models.networks.muq_mulan import MuQMuLan
    from models.published import CheckpointError, load_published

    try:
        network = load_published(folder)
    except (CheckpointError, ConfigError) as error:
        raise BundleFormatError(str(error)) from error
    if not isinstance(network, MuQMuLan):
        raise BundleFormatError(f"{folder} holds a MuQ, which has no text tower to search with")
    config: MuQMuLanConfig = network.config
    tokenizer_path = find_tokenizer(folder)
    manifest = _manifest(folder, config, tokenizer_path)
    return BundleEncoder(
        manifest,
        TorchTowers(network, device=choice.device, precision=choice.precision, threads=threads),
        BundleTokenizer(tokenizer_path.read_bytes(), manifest.text),
        np.empty((0, manifest.embed_dim), dtype=np.float32),
        None,
    )


def find_tokenizer(folder: Path) -> Path:
    """The text model's tokenizer.json: in the folder, or where its config is looked for."""
    name = str(json.loads((folder / CONFIG_FILE).read_bytes())["text_model"]["name"])
    base = Path(name).name
    root = folder.resolve()
    for place in (root, root / name, root / base, root.parent / name, root.parent / base):
        if (place / TOKENIZER_FILE).is_file():
            return place / TOKENIZER_FILE
    raise BundleNotFoundError(
        f"{folder} has no {TOKENIZER_FILE}: put that of {name} into it, or into {base}/ beside"
    )


def _manifest(folder: Path, config: object, tokenizer: Path) -> Manifest:
    from models.networks.config import MuQMuLanConfig, to_dict

    assert isinstance(config, MuQMuLanConfig)
    assert config.text is not None
    source = read_source(folder)
    description = Description(
        name=re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-.")
        or "published",
        embed_dim=config.embed_dim,
        clip_seconds=config.clip_s,
        front_end=config.muq.mel,
        text=TextSpec(max_tokens=config.text.max_tokens, pad_token_id=config.text.pad_token_id),
        languages=LANGUAGES,
        licence=str(source.get("licence", UNKNOWN_LICENCE)),
        lineage={"published": source},
        tag_templates=TAG_TEMPLATES,
        runtimes=Runtimes(torch=TorchRuntime(weights=WEIGHTS_FILE, network=to_dict(config))),
    )
    files = {
        name: FileEntry(sha256=file_sha256(path), size_bytes=path.stat().st_size)
        for name, path in ((WEIGHTS_FILE, folder / WEIGHTS_FILE), (TOKENIZER_FILE, tokenizer))
    }
    return complete_manifest(description, files)


def read_source(folder: Path) -> dict[str, object]:
    """What `pull` noted about the folder; empty for one that came another way."""
    path = folder / SOURCE_FILE
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise BundleFormatError(f"{SOURCE_FILE} is not JSON: {error}") from error
    return values if isinstance(values, dict) else {}
