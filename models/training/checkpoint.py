"""Training checkpoints: everything that the next update depends on, in one safetensors file.

One file is written beside its final name, synced and renamed, so that a reader sees either the
old checkpoint or the new one. Tensors are named `model.*`, `optimiser.<parameter>.<key>` and
`rng.*`; numbers that are not tensors stand as JSON in the file's header. Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models.training import distributed
from models.training.sharding import part_like, whole
from models.whole_file import whole_file

SCHEMA_VERSION = 1
_EXTRAS = "extras"


class CheckpointError(RuntimeError):
    """A checkpoint does not fit the model, the optimiser or this version of the code."""


@dataclass
class TrainState:
    """Where a run stands; the data's position follows from `micro_batches` and the seed."""

    update: int = 0
    micro_batches: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
    best_metric: float | None = None
    pending: dict[str, list[float]] = field(default_factory=dict)
    """Numbers of updates since the last logged line, which averages them."""
    stale_validations: int = 0
    """Validations since the best one."""
    loss_scale: dict[str, float] = field(default_factory=dict)
    """State of the gradient scaling that float16 needs; empty without."""


def save_checkpoint(
    path: Path,
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    state: TrainState,
) -> None:
    """Write module, optimiser, counters and random state to `path`, whole or not at all.

    Sharded tensors are gathered, so every process must call this; the first one writes.
    """
    tensors = {f"model.{name}": value for name, value in _unique(module).items()}
    packed = optimiser.state_dict()
    for index, values in packed["state"].items():
        for key, value in values.items():
            tensors[f"optimiser.{index}.{key}"] = whole(torch.as_tensor(value))
    if not distributed.is_first():
        return
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    header = {
        "schema_version": str(SCHEMA_VERSION),
        "state": json.dumps(asdict(state)),
        "optimiser_groups": json.dumps(packed["param_groups"]),
    }
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with whole_file(path) as draft:
        save_file(on_cpu, draft, metadata=header)


def load_checkpoint(
    path: Path,
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
) -> TrainState:
    """Put module, optimiser and random state back to where `path` was written.

    Raises CheckpointError where names, shapes or the schema do not agree.
    """
    with safe_open(path, framework="pt", device="cpu") as stored:
        header = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    _check_schema(path, header)
    _load_module(path, module, _with_prefix(tensors, "model."))
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in _with_prefix(tensors, "optimiser.").items():
        index, key = name.split(".", 1)
        # Moments are split as their parameter is; step counts are single numbers.
        known = value.ndim > 0 and int(index) < len(parameters)
        moment = part_like(parameters[int(index)], value) if known else value
        state.setdefault(int(index), {})[key] = moment
    groups = json.loads(header["optimiser_groups"])
    for group in groups:
        group["betas"] = tuple(group["betas"])
    try:
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    except ValueError as error:
        raise CheckpointError(f"{path.name}: the optimiser does not fit: {error}") from error
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return TrainState(**json.loads(header["state"]))


def load_module(path: Path, module: torch.nn.Module, prefix: str = "") -> dict[str, Any]:
    """Load a checkpoint's network, or its part under `prefix`, strictly; return the counters."""
    with safe_open(path, framework="pt", device="cpu") as stored:
        header = stored.metadata()
        _check_schema(path, header)
        stem = f"model.{prefix}"
        names = [name for name in stored.keys() if name.startswith(stem)]  # noqa: SIM118
        tensors = {name.removeprefix(stem): stored.get_tensor(name) for name in names}
    _load_module(path, module, tensors)
    counters: dict[str, Any] = json.loads(header["state"])
    return counters


def read_counters(path: Path) -> dict[str, Any]:
    """Read a checkpoint's counters alone: updates, audio and wall seconds, and the like."""
    with safe_open(path, framework="np") as stored:
        counters: dict[str, Any] = json.loads(stored.metadata()["state"])
    return counters


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a checkpoint's network, tensors by their stored names, and its header without the rest.

    Raises CheckpointError where it is of another schema.
    """
    with safe_open(path, framework="pt", device="cpu") as stored:
        header = stored.metadata()
        _check_schema(path, header)
        names = [name for name in stored.keys() if name.startswith("model.")]  # noqa: SIM118
        weights = {name: stored.get_tensor(name) for name in names}
    return weights, {name: header[name] for name in ("schema_version", "state")}


def rewrite_weights(
    source: Path,
    out: Path,
    changed: Mapping[str, torch.Tensor],
    extras: Mapping[str, Any],
    added: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write `source`'s network with some tensors changed, and what `extras` say in its header.

    What `source` said in its own stays. The optimiser is left out: nothing can be trained on from
    such a checkpoint. Tensors keep their type; `added` ones come to them. Raises CheckpointError
    for a name or shape that `source` does not have, and for an added one that it has.
    """
    weights, header = read_weights(source)
    if both := sorted(set(added or {}) & set(weights)):
        raise CheckpointError(f"{source.name} has {both[0]} already")
    weights |= added or {}
    for name, value in changed.items():
        if name not in weights or weights[name].shape != value.shape:
            raise CheckpointError(f"{source.name} has no {name} of shape {tuple(value.shape)}")
        weights[name] = value.to(weights[name].dtype)
    told = {**read_extras(source), **extras}
    with whole_file(out) as draft:
        save_file(
            {name: value.contiguous() for name, value in weights.items()},
            draft,
            metadata={**header, _EXTRAS: json.dumps(told)},
        )


def read_extras(path: Path) -> dict[str, Any]:
    """Read what was said in the header of a checkpoint that was made of others; {} for others."""
    with safe_open(path, framework="np") as stored:
        extras: dict[str, Any] = json.loads(stored.metadata().get(_EXTRAS, "{}"))
    return extras


def has_part(path: Path, prefix: str) -> bool:
    """Whether a checkpoint's network has anything under `prefix`."""
    with safe_open(path, framework="pt", device="cpu") as stored:
        return any(name.startswith(f"model.{prefix}") for name in stored.keys())  # noqa: SIM118


def _unique(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    # safetensors refuses two names for one memory: a shared tensor is stored once per name.
    seen: set[int] = set()
    tensors = {}
    for name, stored in module.state_dict().items():
        value = whole(stored)
        shared = value.data_ptr() in seen and value.numel() > 0
        tensors[name] = value.clone() if shared else value
        seen.add(value.data_ptr())
    return tensors


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)
    }


def _check_schema(path: Path, header: dict[str, str] | None) -> None:
    version = (header or {}).get("schema_version")
    if version != str(SCHEMA_VERSION):
        raise CheckpointError(f"{path.name}: schema {version!r}, this code reads {SCHEMA_VERSION}")


def _load_module(path: Path, module: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    present = module.state_dict()
    placed = {
        name: part_like(present[name], value) if name in present else value
        for name, value in tensors.items()
    }
    try:
        module.load_state_dict(placed, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path.name}: the network does not fit: {error}") from error
