"""From a finished run to the published layout, read back and compared before it is called done."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.networks.config import ConfigError
from models.networks.mel_rvq import MelRVQ
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan
from models.published import TEXT_FOLDER, load_published, save_published
from models.training.mel_rvq import load_mel_rvq
from models.training.mulan import load_trained_mulan
from models.training.muq import load_muq
from models.training.run import RunError, read_json

LINEAGE_FILE = "lineage.json"
_PROBE_SAMPLES = 48_000


class ExportError(RuntimeError):
    """A run cannot be written in the layout, or reads back as another network."""


@dataclass(frozen=True)
class PublishedExport:
    """What was written: stage, parameters, and how far a probe's output moved on the way."""

    stage: str
    parameters: int
    largest_difference: float


def export_published(
    run: Path, out: Path, checkpoint: str = "last", rvq_run: Path | None = None
) -> PublishedExport:
    """Write a run of stage muq or mulan to `out`, which must not exist, in the published layout.

    The layout wants a quantizer beside the network's head; a network that learned labels has none,
    and takes that of `rvq_run`, which nothing reads. Raises ExportError for a shape that the layout
    cannot express and for a network that reads back otherwise than it was.
    """
    if out.exists():
        raise ExportError(f"{out} exists; choose another folder")
    stage = read_json(run / "config.json")["stage"]
    network, tokenizer = _load(run, stage, checkpoint)
    network = _ready(network, None if rvq_run is None else load_mel_rvq(rvq_run))
    temporary = out.with_name(out.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        save_published(network, temporary)
    except (ConfigError, ValueError) as error:
        raise ExportError(f"the published layout cannot express this network: {error}") from error
    if tokenizer is not None:
        shutil.copyfile(tokenizer, temporary / TEXT_FOLDER / "tokenizer.json")
    difference = _compare(network, temporary)
    lineage = {"stage": stage, "run": read_json(run / "config.json")["recipe"],
               "environment": read_json(run / "environment.json")}  # fmt: skip
    (temporary / LINEAGE_FILE).write_text(json.dumps(lineage, indent=2) + "\n", "utf-8")
    temporary.replace(out)
    return PublishedExport(stage, sum(p.numel() for p in network.parameters()), difference)


def _load(run: Path, stage: str, checkpoint: str) -> tuple[MuQ | MuQMuLan, Path | None]:
    """The run's network, and its tokenizer where it reads text."""
    if stage == "muq":
        return load_muq(run, checkpoint), None
    if stage != "mulan":
        raise RunError(f"{run} holds a run of {stage}; muq and mulan have a published layout")
    trained = load_trained_mulan(run, checkpoint)
    if trained.recipe.network.text is None:
        raise ExportError(
            "the published layout has a Hugging Face text encoder inside; this run stands on a "
            "sentence encoder outside: export it as a bundle"
        )
    return trained.network, Path(trained.recipe.text_folder) / "tokenizer.json"


def _ready(network: MuQ | MuQMuLan, rvq: MelRVQ | None) -> MuQ | MuQMuLan:
    """A copy that has all that the layout holds, and nothing that it cannot say."""
    network = copy.deepcopy(network).eval().cpu()
    muq = network if isinstance(network, MuQ) else network.audio.muq
    if muq.rvq is None and rvq is not None:
        muq.rvq = rvq
        muq.config = dataclasses.replace(muq.config, rvq=rvq.config)
    if muq.rvq is not None:
        # How long a code may lie idle is no part of the layout: its readers do not train it.
        described = dataclasses.replace(muq.rvq.config, stale_tolerance=100)
        muq.config = dataclasses.replace(muq.config, rvq=described)
    if isinstance(network, MuQMuLan):
        # Nor is whether the text encoder was trained.
        network.config = dataclasses.replace(
            network.config, muq=muq.config, freeze_text_encoder=True
        )
    return network


@torch.no_grad()
def _compare(network: MuQ | MuQMuLan, folder: Path) -> float:
    """The largest difference of a probe's outputs; ExportError where tensors are not the same."""
    again = load_published(folder)
    stored = again.state_dict()
    for name, value in network.state_dict().items():
        if not torch.equal(stored[name], value):
            raise ExportError(f"{name} reads back with other values")
    probe = torch.randn(1, _PROBE_SAMPLES, generator=torch.Generator().manual_seed(0)) * 0.1
    difference = float((_answer(network, probe) - _answer(again, probe)).abs().max())
    if difference > 1e-5:
        raise ExportError(f"the network reads back and answers otherwise, by {difference:.2g}")
    return difference


def _answer(network: nn.Module, probe: Tensor) -> Tensor:
    if isinstance(network, MuQMuLan):
        ids = torch.tensor([[0, 5, 6, 2]])
        sides = network.audio(probe), network.text(ids, torch.ones_like(ids))
        return torch.cat(sides)
    answer: Tensor = network(probe).last_hidden_state
    return answer
