"""Float16 with gradient scaling, activation checkpointing, early stopping: the loop's options."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.networks.muq import MuQ
from models.training.activations import checkpoint_activations
from models.training.loop import Better, LoopConfig, NonFiniteError, StepResult, Trainer
from models.training.recipes import muq_tiny
from models.training.run import Run
from models.training.schedule import OptimiserConfig
from tests.models.shapes import small_mulan

OPTIMISER = OptimiserConfig(0.02, updates=8, clip_norm=1.0)
LOOP = LoopConfig(device="cpu", log_every=1, validate_every=2, save_every=4, precision="fp16")


class SumTask:
    """Learn to add: linear layers, which run in float16 on a CPU too."""

    best_metric = "error"
    better: Better = "lower"

    def __init__(self, error: list[float] | None = None, poison_at: int = -1) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        self.error, self.poison_at = error, poison_at
        self.dtypes: set[torch.dtype] = set()

    def batch(self, position: int) -> tuple[Tensor, bool]:
        generator = torch.Generator().manual_seed(position)
        return torch.randn(32, 4, generator=generator), position == self.poison_at

    def loss(self, batch: tuple[Tensor, bool]) -> StepResult:
        values, poisoned = batch
        answer = self.module(values)
        self.dtypes.add(answer.dtype)
        loss = (answer[:, 0].float() - values.sum(1)).square().mean()
        if poisoned:
            # Finite itself; its gradient is not, at any scale.
            loss = loss + (answer.float().mean() * 0.0).sqrt()
        return StepResult(loss, audio_s=1.0)

    def after_update(self, update: int) -> None: ...

    def validate(self) -> Mapping[str, float]:
        if self.error is not None:
            return {"error": self.error.pop(0)}
        values, _ = self.batch(999)
        answer = self.module(values)[:, 0].float()
        return {"error": float((answer - values.sum(1)).square().mean())}

    def draw_plots(self, folder: Path) -> None: ...


def open_run(folder: Path) -> Run:
    return Run.open_new(folder, "sum", "tiny", {}, data_identity="none")


def with_scale(trainer: Trainer[Any], scale: float) -> Trainer[Any]:
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return trainer


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    listed = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in x.items() if k != "audio_hours_per_s"} for x in listed
            if x["kind"] == kind]  # fmt: skip


def test_float16_learns_like_float32_and_resumes(tmp_path: Path) -> None:
    task = SumTask()
    trainer = with_scale(Trainer(task, open_run(tmp_path / "half"), OPTIMISER, LOOP), 2.0**8)
    trainer.train()
    assert task.dtypes == {torch.float16}
    full = dataclasses.replace(LOOP, precision="fp32")
    Trainer(SumTask(), open_run(tmp_path / "full"), OPTIMISER, full).train()
    for half, whole in zip(
        lines(tmp_path / "half", "train"), lines(tmp_path / "full", "train"), strict=True
    ):
        assert half["loss"] == pytest.approx(whole["loss"], rel=0.02)
        assert half["skipped"] == 0.0

    run = open_run(tmp_path / "parts")
    with_scale(Trainer(SumTask(), run, OPTIMISER, LOOP), 2.0**8).train(stop_after=4)
    resumed = Trainer(SumTask(), run, OPTIMISER, LOOP)
    resumed.resume()
    assert resumed.scaler.get_scale() == 2.0**8
    resumed.train()
    assert lines(tmp_path / "parts", "train") == lines(tmp_path / "half", "train")


def test_an_overflow_skips_the_step_and_lowers_the_scale(tmp_path: Path) -> None:
    task = SumTask()
    longer = dataclasses.replace(OPTIMISER, updates=16)
    trainer = with_scale(Trainer(task, open_run(tmp_path / "run"), longer, LOOP), 2.0**20)
    before = [parameter.detach().clone() for parameter in task.module.parameters()]
    trainer.train(stop_after=1)
    assert all(map(torch.equal, before, task.module.parameters()))
    assert trainer.scaler.get_scale() == 2.0**19
    assert trainer.state.loss_scale["scale"] == 2.0**19
    trainer.train()
    skipped = [line["skipped"] for line in lines(tmp_path / "run", "train")]
    assert skipped[0] == 1.0
    assert 0.0 in skipped
    assert not all(map(torch.equal, before, task.module.parameters()))


def test_gradients_that_no_scale_makes_finite_stop_the_run(tmp_path: Path) -> None:
    poisoned = SumTask(poison_at=2)
    trainer = with_scale(Trainer(poisoned, open_run(tmp_path / "run"), OPTIMISER, LOOP), 1.0)
    with pytest.raises(NonFiniteError, match="gradient norm is nan at update 2"):
        trainer.train()
    assert (tmp_path / "run" / "report.json").exists()


def test_sharding_and_gradient_scaling_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="use bf16"):
        LoopConfig(precision="fp16", shard=True)


def test_a_run_ends_when_patience_does(tmp_path: Path) -> None:
    errors = [3.0, 2.0, 2.5, 2.2, 1.0]
    loop = dataclasses.replace(LOOP, precision="fp32", validate_every=1, patience=2)
    trainer = Trainer(SumTask(errors), open_run(tmp_path / "run"), OPTIMISER, loop)
    result = trainer.train()
    assert (result.state.update, result.state.best_metric) == (4, 2.0)
    assert result.state.stale_validations == 2
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()


def step(network: nn.Module, inputs: tuple[Tensor, ...], loss_of: Any) -> tuple[float, Any, Any]:
    """One pass with dropout: loss, gradients by name, buffers by name."""
    torch.manual_seed(5)
    loss = loss_of(network(*inputs))
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients, {n: b.clone() for n, b in network.named_buffers()}


def compare(make: Any, inputs: tuple[Tensor, ...], loss_of: Any, blocks: int) -> None:
    plain, recomputing = make().train(), make().train()
    assert checkpoint_activations(recomputing) == blocks
    assert list(plain.state_dict()) == list(recomputing.state_dict())
    expected, got = step(plain, inputs, loss_of), step(recomputing, inputs, loss_of)
    assert got[0] == expected[0]
    for one, other in zip(expected[1:], got[1:], strict=True):
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(other[name], one[name], rtol=1e-6, atol=1e-8, msg=name)


def test_activation_checkpointing_changes_neither_loss_nor_gradients() -> None:
    config = muq_tiny().muq
    assert config.conformer.hidden_dropout > 0

    def make() -> MuQ:
        torch.manual_seed(0)
        return MuQ(config)

    mels = torch.randn(2, 128, 80, generator=torch.Generator().manual_seed(1))
    # Two convolutions of the stem and one conformer layer.
    compare(make, (mels,), lambda out: out.logits.square().mean(), blocks=3)


def test_activation_checkpointing_of_both_towers() -> None:
    generator = torch.Generator().manual_seed(1)
    mels = torch.randn(3, 128, 80, generator=generator)
    ids = torch.randint(2, 50, (3, 6), generator=generator)
    mask = torch.ones(3, 6, dtype=torch.bool)

    def make() -> nn.Module:
        network = small_mulan()
        network.text.encoder_frozen = False
        return network

    # Stem 2, conformer 2, audio layers 1, text encoder 2, text layers 2.
    compare(make, (mels, ids, mask), lambda loss: loss, blocks=9)
