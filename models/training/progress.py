"""What a running stage tells on standard error: numbers, throughput, time left, memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Progress:
    """Where a run stands: updates done and planned, audio seconds per second, seconds left."""

    update: int
    updates: int
    audio_rate: float
    eta_s: float
    memory_gb: float


def progress_line(progress: Progress, values: Mapping[str, float], rate: float) -> str:
    """Lay out one line; numbers with a dot in their name (one per codebook) stay in the log."""
    shown = {name: value for name, value in values.items() if "." not in name}
    return (
        f"update {progress.update}/{progress.updates}  {format_values(shown)}  lr {rate:.2e}  "
        f"{progress.audio_rate / 3600:.4f} audio h/s  ETA {clock(progress.eta_s)}  "
        f"{progress.memory_gb:.1f} GB"
    )


def format_values(values: Mapping[str, float]) -> str:
    """Lay out named numbers on one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def clock(seconds: float) -> str:
    """Write a duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def memory_gb(device: torch.device) -> float:
    """Return the most memory used so far: the GPU's, or this process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def say(line: str) -> None:
    """Print one line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)
