"""Two processes train as one process with the doubled batch: same losses, same weights."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.losses import ContrastiveLoss
from models.training import distributed
from models.training.loop import Better, LoopConfig, StepResult, Trainer
from models.training.mulan import contrast
from models.training.run import Run
from models.training.schedule import OptimiserConfig

OPTIMISER = OptimiserConfig(0.05, updates=3, clip_norm=0.5)
LOOP = LoopConfig(seed=3, micro_batches=2, device="cpu", log_every=1, threads=1)
GLOBAL_BATCH = 8


class PairTask:
    """Contrast of two linear towers over the global batch; each process embeds its own part."""

    best_metric = "loss"
    better: Better = "lower"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.loss_module = ContrastiveLoss("decoupled")
        self.towers = nn.ModuleDict({"a": nn.Linear(6, 4), "b": nn.Linear(5, 4)})
        self.module: nn.Module = nn.ModuleList([self.towers, self.loss_module])

    def batch(self, position: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(position)
        mine = distributed.local_slice(GLOBAL_BATCH)
        sides = (torch.randn(GLOBAL_BATCH, width, generator=generator)[mine] for width in (6, 5))
        return next(sides), next(sides)

    def loss(self, batch: tuple[Tensor, Tensor]) -> StepResult:
        a = functional.normalize(self.towers["a"](batch[0]), dim=1)
        b = functional.normalize(self.towers["b"](batch[1]), dim=1)
        gathered = distributed.gather_rows(a), distributed.gather_rows(b)
        loss = contrast(self.loss_module, *gathered, torch.arange(GLOBAL_BATCH))
        return StepResult(loss, audio_s=1.0)

    def after_update(self, update: int) -> None: ...

    def validate(self) -> Mapping[str, float]:
        return {}

    def draw_plots(self, folder: Path) -> None: ...


def train(folder: Path) -> None:
    run = Run.open(folder, "pairs", "tiny", LOOP, "none", resume=False)
    Trainer(PairTask(), run, OPTIMISER, LOOP).train()


def worker(rank: int, port: int, folder: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    distributed.start_from_environment()
    assert (distributed.rank(), distributed.world_size()) == (rank, 2)
    train(Path(folder))
    torch.distributed.destroy_process_group()


def losses(folder: Path) -> list[tuple[float, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["loss"], line["grad_norm"]) for line in lines]


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path: Path, unused_port: int) -> None:
    train(tmp_path / "one")
    context = multiprocessing.get_context("spawn")
    arguments = [(rank, unused_port, str(tmp_path / "two")) for rank in range(2)]
    processes = [context.Process(target=worker, args=given) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    for one, two in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-5)


def _train_or_fail(folder: Path, failing_rank: int | None) -> None:
    if distributed.rank() == failing_rank:
        raise OSError("the disk is full")
    train(folder)


def test_work_in_processes_of_this_machine_equals_work_in_one(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    distributed.run_in_processes(partial(_train_or_fail, tmp_path / "one", None), 1)
    distributed.run_in_processes(partial(_train_or_fail, tmp_path / "two", None), 2)
    for one, two in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    # Nothing is left behind: the next work is done by one process again.
    assert distributed.world_size() == 1
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("failing_rank", [0, 1])
def test_a_process_that_fails_ends_the_others(tmp_path: Path, failing_rank: int) -> None:
    reason = "disk is full" if failing_rank == 0 else ".*"
    with pytest.raises((OSError, RuntimeError), match=reason):
        distributed.run_in_processes(partial(_train_or_fail, tmp_path, failing_rank), 2)
    assert distributed.world_size() == 1
    assert not multiprocessing.active_children()


def test_a_batch_that_does_not_divide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with pytest.raises(ValueError, match="does not divide by 3"):
        distributed.local_slice(8)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
