"""Wire types of workers: who analyses what is uploaded, and what keeps somebody from it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.api.schemas import Problem, Wire


class WorkerInfo(Wire):
    """A worker: a thread of `muquery serve`, or a `muquery worker` on some machine."""

    id: str = Field(description="Host, process number and a random part.")
    host: str
    role: Literal["service", "worker"] = Field(
        description="A part of a process that also answers queries, or a process of its own."
    )
    state: Literal["loading", "ready", "failed", "silent"] = Field(
        description=(
            "`failed`: it cannot work, `problem` says why. `silent`: it was not heard of for as "
            "long as a lease lasts, so it was killed or is cut off. Both are listed for a day."
        )
    )
    model_ids: list[str] = Field(description="Models that it works for.")
    problem: str | None = Field(
        description="What ails it; a ready one may lack the model that is being changed to."
    )
    job_id: str | None = Field(description="The job that it is doing.")
    started_at: datetime
    seen_at: datetime = Field(description="Its last sign of life.")


class WorkerList(Wire):
    items: list[WorkerInfo] = Field(description="The longest there first.")
    counts: dict[str, int] = Field(description="Workers in each state.")
    waiting_jobs: int = Field(description="Queued jobs, without those of paused batches.")
    problem: Problem | None = Field(description="Why jobs wait for nobody; null while they do not.")
