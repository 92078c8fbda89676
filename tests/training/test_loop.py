"""The shared loop: resumed equals uninterrupted, a NaN stops before the step, gradients add up."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.training.checkpoint import CheckpointError, load_checkpoint, load_module
from models.training.loop import Better, LoopConfig, NonFiniteError, StepResult, Trainer
from models.training.run import Run, RunError
from models.training.schedule import OptimiserConfig, make_optimiser

OPTIMISER = OptimiserConfig(0.05, updates=12, warmup_updates=3, decay="cosine", clip_norm=1.0)
LOOP = LoopConfig(
    seed=7, micro_batches=2, device="cpu", log_every=1, validate_every=4, save_every=6
)


class LineTask:
    """Fit a noisy line with dropout and batch norm, so that random and running state matter."""

    best_metric = "error"
    better: Better = "lower"

    def __init__(self, poison_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)
        )
        self.poison_at = poison_at

    def batch(self, position: int) -> Tensor:
        generator = torch.Generator().manual_seed(position)
        return torch.randn(16, 4, generator=generator)

    def loss(self, batch: Tensor) -> StepResult:
        loss = (self.module(batch)[:, 0] - batch.sum(1)).square().mean()
        if self.poison_at is not None and torch.equal(batch, self.batch(self.poison_at)):
            loss = loss * float("nan")
        return StepResult(loss, audio_s=16.0, metrics={"part.0": loss.detach()})

    def after_update(self, update: int) -> None: ...

    def validate(self) -> Mapping[str, float]:
        batch = self.batch(10_000)
        return {"error": float((self.module(batch)[:, 0] - batch.sum(1)).square().mean())}

    def draw_plots(self, folder: Path) -> None: ...


def new_run(folder: Path) -> Run:
    return Run.open_new(folder, "line", "tiny", {"a": 1}, data_identity="none")


def losses(run: Run) -> list[tuple[int, str, float]]:
    lines = run.read_metrics()
    return [(line["update"], line["kind"], line.get("loss", line.get("error"))) for line in lines]


def test_resumed_run_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, parts = new_run(tmp_path / "whole"), new_run(tmp_path / "parts")
    reference = Trainer(LineTask(), whole, OPTIMISER, LOOP)
    result = reference.train()

    Trainer(LineTask(), parts, OPTIMISER, LOOP).train(stop_after=6)
    # Lines that a killed run logged after its checkpoint are written again, not twice.
    parts.log(7, "train", {"loss": 123.0})
    torch.manual_seed(99)
    resumed = Trainer(LineTask(), Run.open_existing(tmp_path / "parts", "line"), OPTIMISER, LOOP)
    resumed.resume()
    assert resumed.state.update == 6
    assert resumed.train().state.best_metric == result.state.best_metric

    assert losses(parts) == losses(whole)
    for name, value in reference.task.module.state_dict().items():
        assert torch.equal(value, resumed.task.module.state_dict()[name]), name


def test_named_updates_keep_their_checkpoints(tmp_path: Path) -> None:
    loop = dataclasses.replace(LOOP, keep=(4, 12))
    trainer = Trainer(LineTask(), new_run(tmp_path / "run"), OPTIMISER, loop)
    trainer.train(stop_after=5)
    kept = trainer.run.checkpoint("update-4")
    before = kept.read_bytes()
    trainer.train()
    assert kept.read_bytes() == before
    weights = nn.ModuleDict({"module": LineTask().module})["module"]
    assert load_module(kept, weights)["update"] == 4
    assert trainer.run.checkpoint("update-12").exists()
    assert not trainer.run.checkpoint("update-6").exists()


def test_non_finite_loss_stops_before_the_step_with_a_report(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    trainer = Trainer(LineTask(poison_at=7), run, OPTIMISER, LOOP)
    with pytest.raises(NonFiniteError, match="update 3, micro-batch 7"):
        trainer.train()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["reason"] == "loss is nan"
    assert report["non_finite_parameters"] == []
    whole = Trainer(LineTask(), new_run(tmp_path / "sound"), OPTIMISER, LOOP)
    whole.train(stop_after=3)
    for name, value in whole.task.module.named_parameters():
        assert torch.equal(value, dict(trainer.task.module.named_parameters())[name]), name


def test_accumulated_gradients_are_those_of_the_larger_batch(tmp_path: Path) -> None:
    class Plain(LineTask):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.module, self.size = nn.Linear(4, 1), size
            nn.init.ones_(self.module.weight)
            nn.init.zeros_(self.module.bias)

        def batch(self, position: int) -> Tensor:
            generator = torch.Generator().manual_seed(1)
            everything = torch.randn(32, 4, generator=generator)
            return everything.split(self.size)[position % (32 // self.size)]

    optimiser = OptimiserConfig(0.1, updates=1)
    weights = []
    for size, micro_batches in ((32, 1), (8, 4)):
        loop = LoopConfig(micro_batches=micro_batches, device="cpu")
        trainer = Trainer(Plain(size), new_run(tmp_path / str(size)), optimiser, loop)
        trainer.train()
        weights.append(trainer.task.module.weight.detach().clone())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)


def test_a_run_leaves_what_the_folder_promises(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    Trainer(LineTask(), run, OPTIMISER, LOOP).train()
    run.close()
    assert (tmp_path / "run" / "plots" / "loss.png").read_bytes().startswith(b"\x89PNG")
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert not list((tmp_path / "run").rglob("*.part"))
    with pytest.raises(RunError, match="already holds a run"):
        new_run(tmp_path / "run")
    with pytest.raises(RunError, match="a run of line, not of muq"):
        Run.open_existing(tmp_path / "run", "muq")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    Trainer(LineTask(), run, OPTIMISER, LOOP).train()
    other = nn.Linear(4, 1)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(run.last_checkpoint, other, make_optimiser(OPTIMISER, other.parameters()))
    network = LineTask().module
    assert load_module(run.last_checkpoint, network)["update"] == 12
