"""What the worker of a process says of itself: the models that it works for, and what ails it."""

from __future__ import annotations

from service.inference.encoder import EncoderState
from service.jobs.workers import Sign, WorkerState
from service.serving.follower import ModelFollower
from service.worker.loop import Worker


def sign_of(follower: ModelFollower, worker: Worker) -> Sign:
    """How it is at this moment; it never waits."""
    current = follower.current
    if current.encoder.state is EncoderState.FAILED:
        return Sign(
            WorkerState.FAILED, (), f"the model could not be loaded: {current.encoder.failure}"
        )
    if worker.failure is not None:
        return Sign(WorkerState.FAILED, (), worker.failure)
    if current.loaded_id is None:
        return Sign(WorkerState.LOADING)
    model_ids = (desk.encoder.get().model_id for desk in follower.desks())
    return Sign(WorkerState.READY, tuple(model_ids), follower.problem)
