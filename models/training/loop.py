"""The training loop that every stage shares. It knows batches, losses and updates, not music.

A `Task` brings a network, a way to make micro-batch number n, and its loss. The batch is a
function of n and the recipe's seed alone, so the data's position is one integer and a resumed run
sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from models.training import distributed, progress
from models.training.activations import checkpoint_activations
from models.training.batch_norm import synchronise_batch_norm
from models.training.checkpoint import TrainState, load_checkpoint, save_checkpoint
from models.training.run import Run
from models.training.schedule import OptimiserConfig, learning_rate, make_optimiser
from models.training.sharding import clip_gradients, shard_layers

Precision = Literal["fp32", "bf16", "fp16"]
Better = Literal["lower", "higher"]
BatchT = TypeVar("BatchT")
_AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LEAST_SCALE = 1.0


@dataclass(frozen=True)
class LoopConfig:
    """How a run is driven; only `precision` and the seed change what one process computes.

    With several, `sync_batch_norm` makes batch norms see the global batch, and `shard` splits the
    layers' weights over the processes.
    """

    seed: int = 1337
    micro_batches: int = 1
    """Micro-batches whose gradients are averaged into one update."""
    precision: Precision = "fp32"
    device: str = "auto"
    threads: int = 0
    """CPU threads for torch; 0 leaves its default."""
    log_every: int = 10
    validate_every: int = 100
    save_every: int = 100
    keep: tuple[int, ...] = ()
    """Updates whose checkpoints stay, as `update-N`, beside the last and the best."""
    activation_checkpointing: bool = False
    sync_batch_norm: bool = False
    shard: bool = False
    patience: int = 0
    """Validations without a better one after which a run ends early; 0 never ends it."""

    def __post_init__(self) -> None:
        if self.precision not in _AUTOCAST:
            raise ValueError(f"unknown precision {self.precision!r}")
        if self.shard and self.precision == "fp16":
            raise ValueError("gradient scaling does not know sharded gradients; use bf16")
        if self.patience < 0:
            raise ValueError("patience must not be negative")
        for name in ("micro_batches", "log_every", "validate_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


@dataclass(frozen=True)
class StepResult:
    """One micro-batch's loss (a scalar with gradient), numbers to log, and the audio it used.

    All of this process's part of the batch; the loop averages over processes.
    """

    loss: Tensor
    audio_s: float
    metrics: Mapping[str, float | Tensor] = field(default_factory=dict)


class Task(Protocol[BatchT]):
    """A stage: its network, its batches, its loss. `module` holds all that is trained and saved."""

    module: nn.Module
    best_metric: str
    better: Better

    def batch(self, position: int) -> BatchT:
        """Micro-batch number `position`: the same for the same seed and position."""
        ...

    def loss(self, batch: BatchT) -> StepResult: ...

    def after_update(self, update: int) -> None:
        """Called once an update is done, before validation and checkpoints."""
        ...

    def validate(self) -> Mapping[str, float]:
        """Numbers on held-out data, `best_metric` among them; {} where there is none."""
        ...

    def draw_plots(self, folder: Path) -> None:
        """Draw what curves do not show, when a run ends."""
        ...


class NonFiniteError(RuntimeError):
    """A loss or gradient was NaN or infinite; the weights are those of the last whole update."""


@dataclass(frozen=True)
class LoopResult:
    """What a finished run leaves: its counters and its last validation."""

    state: TrainState
    validation: Mapping[str, float]


def pick_device(name: str) -> torch.device:
    """Return the device named, or the first GPU and else the CPU for "auto"."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


class Trainer(Generic[BatchT]):
    """Drives one task in one run folder, from its start or from the run's last checkpoint."""

    def __init__(
        self, task: Task[BatchT], run: Run, optimiser: OptimiserConfig, loop: LoopConfig
    ) -> None:
        self.task, self.run, self.config, self.loop = task, run, optimiser, loop
        self.device = pick_device(loop.device)
        if loop.threads:
            torch.set_num_threads(loop.threads)
        torch.manual_seed(loop.seed)
        # Convolutions over mels run half as long again in any other layout (CPU, bf16).
        task.module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if loop.sync_batch_norm:
            synchronise_batch_norm(task.module)
        if loop.activation_checkpointing:
            checkpoint_activations(task.module)
        if loop.shard:
            shard_layers(task.module, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=loop.precision == "fp16")
        self.optimiser = make_optimiser(optimiser, task.module.parameters())
        self.state = TrainState()
        self._validation: Mapping[str, float] = {}

    def resume(self) -> None:
        """Go back to the run's last checkpoint and forget what was logged after it."""
        self.state = load_checkpoint(self.run.last_checkpoint, self.task.module, self.optimiser)
        if self.state.loss_scale:
            self.scaler.load_state_dict(dict(self.state.loss_scale))
        if distributed.is_first():
            self.run.forget_after(self.state.update)

    def train(self, stop_after: int | None = None) -> LoopResult:
        """Run to the configured number of updates, or (for tests) only up to `stop_after`.

        With `patience` it ends earlier, once that many validations have brought nothing. Raises
        NonFiniteError before the step that would spread a NaN; a report is in the run.
        """
        last = min(self.config.updates, stop_after or self.config.updates)
        started, first_update = time.monotonic(), self.state.update
        wall_before, audio_before = self.state.wall_s, self.state.audio_s
        while self.state.update < last:
            rate = learning_rate(self.config, self.state.update)
            self._update(rate)
            elapsed_s = time.monotonic() - started
            self.state.wall_s = wall_before + elapsed_s
            if self._is_due(self.loop.log_every):
                done = self.state.update - first_update
                speed = (self.state.audio_s - audio_before) / elapsed_s
                self._log(rate, speed, eta_s=elapsed_s / done * (last - self.state.update))
            if self._is_due(self.loop.validate_every):
                self._validate()
            # Before the last one: a run that is killed between the two comes here again.
            if self.state.update in self.loop.keep:
                self._save(f"update-{self.state.update}")
            if self._is_due(self.loop.save_every):
                self._save("last")
            if self.loop.patience and self.state.stale_validations >= self.loop.patience:
                progress.say(f"no better validation in {self.loop.patience}: stopped")
                break
        self._save("last")
        return LoopResult(self.state, self._validation)

    def _is_due(self, every: int) -> bool:
        return self.state.update % every == 0 or self.state.update == self.config.updates

    def _update(self, rate: float) -> None:
        self.task.module.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        for _ in range(self.loop.micro_batches):
            batch = self.task.batch(self.state.micro_batches)
            with self._autocast():
                result = self.task.loss(batch)
            self._refuse_non_finite("loss", result.loss.detach(), result.metrics)
            # torch leaves Tensor.backward untyped
            self.scaler.scale(result.loss / self.loop.micro_batches).backward()  # type: ignore[no-untyped-call]
            self.state.micro_batches += 1
            self.state.audio_s += result.audio_s * distributed.world_size()
            self._note("loss", result.loss.detach())
            for name, value in result.metrics.items():
                self._note(name, value)
        distributed.average_gradients(self.task.module)
        self._step()
        self.state.update += 1
        self.task.after_update(self.state.update)

    def _step(self) -> None:
        self.scaler.unscale_(self.optimiser)
        parameters = list(self.task.module.parameters())
        norm = clip_gradients(parameters, self.config.clip_norm or math.inf)
        # Where gradients of a scaled loss overflow, the scaler skips the step and halves its scale.
        overflow = self._is_overflow(norm)
        if not overflow:
            self._refuse_non_finite("gradient norm", norm.detach(), {})
            self._note("grad_norm", norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.scaler.is_enabled():
            self._note("skipped", float(overflow))
            self.state.loss_scale = self.scaler.state_dict()

    def _is_overflow(self, norm: Tensor) -> bool:
        if not self.scaler.is_enabled() or bool(torch.isfinite(norm)):
            return False
        # At a scale this small nothing overflows that was finite before.
        return self.scaler.get_scale() > _LEAST_SCALE

    def _note(self, name: str, value: float | Tensor) -> None:
        self.state.pending.setdefault(name, []).append(float(value))

    def _refuse_non_finite(
        self, what: str, value: Tensor, metrics: Mapping[str, float | Tensor]
    ) -> None:
        finite = bool(torch.isfinite(value))
        # All processes stop together: one that went on alone would wait for ever.
        if distributed.everywhere(finite):
            return
        parameters = self.task.module.named_parameters()
        elsewhere = ", and not finite in another process" if finite else ""
        report = {
            "reason": f"{what} is {float(value)}{elsewhere}",
            "update": self.state.update,
            "micro_batch": self.state.micro_batches,
            "metrics": {name: str(float(number)) for name, number in metrics.items()},
            "non_finite_parameters": [
                n for n, p in parameters if not bool(torch.isfinite(p).all())
            ],
        }
        rank = distributed.rank()
        self.run.write_json(f"report-{rank}.json" if rank else "report.json", report)
        raise NonFiniteError(
            f"{what} is {float(value)} at update {self.state.update}, "
            f"micro-batch {self.state.micro_batches}: see report.json in the run folder"
        )

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        dtype = _AUTOCAST[self.loop.precision]
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            yield

    def _validate(self) -> None:
        self.task.module.eval()
        with torch.no_grad(), self._autocast():
            self._validation = self.task.validate()
        if not self._validation:
            return
        if distributed.is_first():
            self.run.log(self.state.update, "valid", self._validation)
            progress.say("valid " + progress.format_values(self._validation))
        # Batch norms may differ between processes; what is decided must not.
        value = distributed.from_first(self._validation[self.task.best_metric])
        best = self.state.best_metric
        higher = self.task.better == "higher"
        self.state.stale_validations += 1
        if best is None or (value > best if higher else value < best):
            self.state.best_metric = value
            self.state.stale_validations = 0
            self._save("best")

    def _save(self, name: str) -> None:
        path = self.run.checkpoint(name)
        save_checkpoint(path, self.task.module, self.optimiser, self.state)

    def _log(self, rate: float, speed: float, eta_s: float) -> None:
        pending = self.state.pending
        own = [sum(values) / len(values) for values in pending.values()]
        means = dict(zip(pending, distributed.average_values(own), strict=True))
        pending.clear()
        if not distributed.is_first():
            return
        self.run.log(
            self.state.update, "train", {**means, "lr": rate, "audio_hours_per_s": speed / 3600}
        )
        memory_gb = progress.memory_gb(self.device)
        stands = progress.Progress(self.state.update, self.config.updates, speed, eta_s, memory_gb)
        progress.say(progress.progress_line(stands, means, rate))


def fit(
    task: Task[BatchT], run: Run, optimiser: OptimiserConfig, loop: LoopConfig, resume: bool
) -> LoopResult:
    """Train a task in its run folder to the end, from its last checkpoint where `resume`."""
    trainer = Trainer(task, run, optimiser, loop)
    if resume:
        trainer.resume()
    result = trainer.train()
    if distributed.is_first() and not loop.shard:
        task.module.eval()
        with torch.no_grad():
            task.draw_plots(run.folder / "plots")
    if distributed.is_first():
        run.close()
    return result
