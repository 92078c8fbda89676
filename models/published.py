"""Published checkpoints, read and written: `config.json` and `model.safetensors`."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.errors import ModelError
from models.networks.config import MuQConfig, MuQMuLanConfig, TextEncoderConfig
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan
from models.networks.text_encoder import TextEncoder
from models.published_config import (
    is_mulan,
    mulan_names,
    read_mulan,
    read_muq,
    read_text,
    write_mulan,
    write_muq,
    write_text,
)
from models.published_names import (
    canonical_name,
    mulan_name,
    muq_name,
    published_shape,
    text_name,
)
from models.published_unused import (
    check_derived,
    is_unused,
    mulan_placeholders,
    muq_placeholders,
    text_placeholders,
)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MUQ_FOLDER = "muq"
TEXT_FOLDER = "xlm-roberta"

Resolver = Callable[[str], Path | None]
Rename = Callable[[str], str]

# Shapes of published parts that a MuQ-MuLan refers to by hub id; it carries their weights itself.
KNOWN_MUQ = {"OpenMuQ/MuQ-large-msd-iter": MuQConfig()}
KNOWN_TEXT = {
    "xlm-roberta-base": TextEncoderConfig(),
    "FacebookAI/xlm-roberta-base": TextEncoderConfig(),
}


class CheckpointError(ModelError, ValueError):
    """A published checkpoint cannot be found or read, or its tensors do not fit its config."""


def load_published(
    folder: str | os.PathLike[str], resolve: Resolver | None = None
) -> MuQ | MuQMuLan:
    """The network in a folder of the published layout, MuQ or MuQ-MuLan, in evaluation mode.

    A MuQ-MuLan's config names its audio and its text model, of which only the configs are read.
    Each is looked for with `resolve` (name to folder, or None where it has none), inside `folder`,
    beside it, and among the published ids whose shapes are known; nothing is ever downloaded.

    Loading is strict: CheckpointError names every tensor that is missing, unexpected or of the
    wrong shape; only those of `published_unused.UNUSED_TENSORS` are skipped. ConfigError names
    config fields that ask for something these networks do not do.
    """
    path = Path(folder)
    values = _read_config(path)
    if not is_mulan(values):
        config = read_muq(values)
        with torch.device("meta"):
            muq = MuQ(config)
        _fill(muq, path, _muq_rename(config), config)
        return muq.eval()
    mulan_config = _read_mulan_config(path, values, resolve)
    with torch.device("meta"):
        mulan = MuQMuLan(mulan_config)
    _fill(mulan, path, _mulan_rename(mulan_config), mulan_config.muq)
    return mulan.eval()


def save_published(model: MuQ | MuQMuLan, folder: str | os.PathLike[str]) -> None:
    """Write a network in the published layout, so that the published packages load it too.

    A MuQ-MuLan's audio and text model are written as folders inside it, `muq` and `xlm-roberta`.
    Tensors that only the published packages have get neutral values. Raises ConfigError where the
    layout cannot express the network's shape.
    """
    path = Path(folder)
    if isinstance(model, MuQ):
        _write(path, write_muq(model.config), published_tensors(model))
        return
    config = model.config
    values = write_mulan(config, MUQ_FOLDER, TEXT_FOLDER)
    assert config.text is not None
    encoder = model.text.encoder
    if not isinstance(encoder, TextEncoder):
        raise CheckpointError("the published layout cannot express a text encoder of another kind")
    save_published(model.audio.muq, path / MUQ_FOLDER)
    text_tensors = _renamed(encoder, text_name) | text_placeholders(config.text)
    _write(path / TEXT_FOLDER, write_text(config.text), text_tensors)
    _write(path, values, published_tensors(model))


def published_tensors(model: MuQ | MuQMuLan) -> dict[str, Tensor]:
    """A network's tensors by published name and in published shape, with those it never reads."""
    if isinstance(model, MuQ):
        return _renamed(model, _muq_rename(model.config)) | muq_placeholders(model.config)
    return _renamed(model, _mulan_rename(model.config)) | mulan_placeholders(model.config)


def _muq_rename(config: MuQConfig) -> Rename:
    layers = config.rvq.projection_layers if config.rvq else 1
    return lambda name: muq_name(name, layers)


def _mulan_rename(config: MuQMuLanConfig) -> Rename:
    layers = config.muq.rvq.projection_layers if config.muq.rvq else 1
    return lambda name: mulan_name(name, layers)


def _renamed(network: nn.Module, rename: Rename) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in network.state_dict().items():
        published = rename(name)
        tensors[published] = tensor.reshape(published_shape(published, tensor.shape))
    return tensors


def _read_mulan_config(
    path: Path, values: dict[str, Any], resolve: Resolver | None
) -> MuQMuLanConfig:
    audio_name, text_model_name = mulan_names(values)
    muq, text = KNOWN_MUQ.get(audio_name), KNOWN_TEXT.get(text_model_name)
    audio_folder = _find_folder(audio_name, path, resolve)
    text_folder = _find_folder(text_model_name, path, resolve)
    if audio_folder is not None:
        muq = read_muq(_read_config(audio_folder))
    if text_folder is not None:
        text = read_text(_read_config(text_folder))
    for name, config in ((audio_name, muq), (text_model_name, text)):
        if config is None:
            raise CheckpointError(
                f"{path / CONFIG_FILE} names {name!r}, which is neither inside {path} nor beside "
                "it; pass `resolve` to say where it is"
            )
    assert muq is not None
    assert text is not None
    return read_mulan(values, muq, text)


def _find_folder(name: str, path: Path, resolve: Resolver | None) -> Path | None:
    resolved = resolve(name) if resolve else None
    if resolved is not None:
        return Path(resolved)
    root = path.resolve()
    base = Path(name).name
    candidates = (root / name, root / base, root.parent / name, root.parent / base)
    # A name that leads back to the folder itself refers to nothing.
    return next((c for c in candidates if c != root and (c / CONFIG_FILE).is_file()), None)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} does not hold an object")
    return values


def _fill(network: nn.Module, folder: Path, rename: Rename, muq: MuQConfig) -> None:
    """Give a network on the meta device the tensors of the checkpoint in this folder."""
    path = folder / WEIGHTS_FILE
    try:
        found = {canonical_name(name): tensor for name, tensor in load_file(path).items()}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist (pickled weights are never loaded)"
        ) from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    expected = network.state_dict()
    names = {rename(name): name for name in expected}
    problems = _problems(found, {published: expected[name] for published, name in names.items()})
    derived = check_derived(found, muq.conformer)
    if derived:
        problems.append(derived)
    if problems:
        raise CheckpointError(f"{path} does not fit its config: " + "; ".join(problems))
    state = {
        name: found[published].reshape(expected[name].shape).to(expected[name].dtype)
        for published, name in names.items()
    }
    network.load_state_dict(state, assign=True)


def _problems(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What keeps these tensors from being those that are expected, in words."""
    problems = []
    missing = sorted(set(expected) - set(found))
    unexpected = sorted(name for name in set(found) - set(expected) if not is_unused(name))
    if missing:
        problems.append(f"missing {', '.join(missing)}")
    if unexpected:
        problems.append(f"unexpected {', '.join(unexpected)}")
    for name in sorted(set(expected) & set(found)):
        shape = published_shape(name, expected[name].shape)
        if tuple(found[name].shape) != shape:
            problems.append(f"{name} is {tuple(found[name].shape)}, not {shape}")
    return problems


def _write(folder: Path, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    text = json.dumps(values, indent=2, sort_keys=True)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
