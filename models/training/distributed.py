"""Several processes on one problem: who am I, gather with gradients, average gradients.

Every function is a no-op (or the identity) in a single process. Legend: W processes, B local
batch, E embedding width.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.tensor import DTensor


def start_from_environment() -> None:
    """Join the group that torchrun describes in the environment; nothing to do without one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def run_in_processes(work: Callable[[], None], processes: int) -> None:
    """Do the same work in so many processes of this machine, of which this one is the first.

    They talk through gloo. Should this one be killed, the others fail at the next exchange, and the
    other way round; RuntimeError where another one failed. `work` must be picklable.
    """
    if processes == 1:
        work()
        return
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [
            context.Process(target=_join_and, args=(work, meeting, number, processes), daemon=True)
            for number in range(1, processes)
        ]
        for other in others:
            other.start()
        try:
            _join_and(work, meeting, 0, processes)
        except BaseException:
            for other in others:
                other.kill()
            raise
        finally:
            for other in others:
                other.join()
        if any(other.exitcode for other in others):
            raise RuntimeError("one of the other processes failed; it says why above")


def _join_and(work: Callable[[], None], meeting: Path, number: int, processes: int) -> None:
    threads = torch.get_num_threads()
    # Each with its share of the cores: threads that wait for a core make the others wait for them.
    torch.set_num_threads(max((os.cpu_count() or 1) // processes, 1))
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=number, world_size=processes
    )
    try:
        work()
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)


def rank() -> int:
    """Return this process's number, 0 in a single process."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Return whether this process writes files and prints."""
    return rank() == 0


def gather_rows(rows: Tensor) -> Tensor:
    """Gather [B, E] of every process to [W B, E], with gradients to the rows of all processes.

    Every process then computes the same loss over the global batch. The backward pass sums over
    processes and `average_gradients` divides by W, so parameters get the true gradient. (The
    published code keeps only the local slice and so loses a factor W.)
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows)  # type: ignore[no-untyped-call]  # untyped in torch
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        # A copy: autograd may hold the gradient elsewhere too.
        whole = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole.chunk(world_size())[rank()]


def average_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over processes, in one message per dtype.

    Sharded gradients are left out: FSDP has averaged them already.
    """
    if world_size() == 1:
        return
    present = [p.grad for p in module.parameters() if p.grad is not None]
    gradients = [gradient for gradient in present if not isinstance(gradient, DTensor)]
    for dtype in {gradient.dtype for gradient in gradients}:
        same = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = torch.cat([gradient.flatten() for gradient in same])
        dist.all_reduce(flat)
        flat /= world_size()
        means = torch.split(flat, [gradient.numel() for gradient in same])
        for gradient, mean in zip(same, means, strict=True):
            gradient.copy_(mean.view_as(gradient))


def average_values(values: Sequence[float]) -> list[float]:
    """Return the means over processes of numbers that all of them have, in the same order."""
    if world_size() == 1:
        return list(values)
    numbers = torch.tensor(values, dtype=torch.float64, device=_device())
    dist.all_reduce(numbers)
    means: list[float] = (numbers / world_size()).tolist()
    return means


def everywhere(condition: bool) -> bool:
    """Return whether a condition holds in all processes; every one of them must ask."""
    if world_size() == 1:
        return condition
    flag = torch.tensor(float(condition), device=_device())
    dist.all_reduce(flag, dist.ReduceOp.MIN)
    return bool(flag)


def from_first(value: float) -> float:
    """Return the first process's value in all of them, so that they decide alike."""
    if world_size() == 1:
        return value
    number = torch.tensor(value, dtype=torch.float64, device=_device())
    dist.broadcast(number, src=0)
    return float(number)


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def local_slice(global_count: int) -> slice:
    """Return this process's part of a global batch; its size must divide by the processes."""
    share, rest = divmod(global_count, world_size())
    if rest:
        raise ValueError(f"a batch of {global_count} does not divide by {world_size()} processes")
    return slice(rank() * share, (rank() + 1) * share)
