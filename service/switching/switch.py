"""A change of model, as rows: begun, prepared by ordinary jobs, finished by one row, undone alike.

    begin   every track without vectors of the next model gets a job, behind all other work
    finish  when each ready track has them: "active_model" changes, in one short transaction
    tidy    jobs that were still waiting for the model before go on as jobs of the new one

Going back is a change like any other, and a quick one while the old vectors are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session, aliased

from service.database.engine import Database, LockSpace, database_now, lock_until_commit
from service.database.tables import (
    Clip,
    Job,
    JobState,
    ServedModel,
    TagLabel,
    Track,
    TrackTagging,
    TrackVector,
    WaitingEmbedding,
)
from service.errors import Conflict
from service.jobs.queue import EMBED, renew
from service.switching import registry
from service.switching.progress import missing_tracks, read_progress
from service.switching.registry import NextModel

_BATCH = 500


class ModelInUse(Conflict):
    code = "model_in_use"
    default_message = "The service answers with this model, or is changing to it."


class NoModelChange(Conflict):
    code, default_message = "no_model_change", "No change of model is under way."


class AlreadyActive(Conflict):
    code, default_message = "model_already_active", "The service answers with this model already."


def begin(
    database: Database, model_id: str, *, allow_missing: bool = False, max_attempts: int = 3
) -> NextModel:
    """Begin to change to a known model; raises ModelNotFound, AlreadyActive.

    A change to another model that is under way ends; what it made is kept until it is pruned.
    """
    with database.write() as session:
        lock_until_commit(session, LockSpace.MODELS)
        registry.get_model(session, model_id)
        active = registry.find_active(session)
        if active is not None and active.model_id == model_id:
            raise AlreadyActive(model_id=model_id)
        wanted = registry.set_next(session, model_id, allow_missing=allow_missing)
    _renew_ended(database, model_id, max_attempts)
    return wanted


def cancel(database: Database) -> str:
    """End the change that is under way; the model that it was to. Raises NoModelChange."""
    with database.write() as session:
        lock_until_commit(session, LockSpace.MODELS)
        present = registry.find_next(session)
        if present is None:
            raise NoModelChange
        registry.clear_next(session)
        waiting = (JobState.QUEUED,)
        session.execute(
            delete(Job).where(
                Job.kind == EMBED, Job.model_id == present.model_id, Job.state.in_(waiting)
            ),
            execution_options={"synchronize_session": False},
        )
    return present.model_id


def switch_now(database: Database, model_id: str) -> None:
    """Change at once, whatever is missing: the tracks come back as they are analysed."""
    with database.write() as session:
        lock_until_commit(session, LockSpace.MODELS)
        registry.get_model(session, model_id)
        registry.set_active(session, model_id)
        registry.clear_next(session)


def try_finish(database: Database) -> str | None:
    """Switch if nothing is missing; the id of the model in use from now on, else None."""
    with database.read() as session:
        wanted = registry.find_next(session)
        if wanted is None or not _is_complete(session, wanted):
            return None
    with database.write() as session:
        lock_until_commit(session, LockSpace.MODELS)
        wanted = registry.find_next(session)
        if wanted is None or not _is_complete(session, wanted):
            return None
        registry.set_active(session, wanted.model_id)
        registry.clear_next(session)
        return wanted.model_id


def _is_complete(session: Session, wanted: NextModel) -> bool:
    if not wanted.allow_missing:
        return session.scalar(missing_tracks(wanted.model_id).limit(1)) is None
    progress = read_progress(session, wanted.model_id)
    return progress.done + progress.failed >= progress.total


def adopt_waiting_jobs(database: Database) -> int:
    """Let jobs that wait for models no longer used go on as jobs of the present one.

    A client that was told a job's id at its upload goes on seeing it end. Where the track has a
    job of the present model too, the older one takes its place, or its outcome.
    """
    adopted = 0
    while pks := _waiting_for_others(database):
        for job_id in pks:
            with database.write() as session:
                adopted += _adopt(session, job_id)
        if len(pks) < _BATCH:
            break
    return adopted


def _waiting_for_others(database: Database) -> Sequence[str]:
    with database.read() as session:
        standing = registry.read_standing(session)
        if standing.active is None:
            return []
        served = [model.model_id for model in (standing.active, standing.next) if model]
        silent = (Job.state == JobState.RUNNING) & or_(
            Job.lease_until.is_(None), Job.lease_until < database_now(session)
        )
        own = aliased(Job)
        running = select(own.id).where(
            own.kind == EMBED,
            own.track_pk == Job.track_pk,
            own.model_id == standing.active.model_id,
            own.state == JobState.RUNNING,
        )
        query = (
            select(Job.id)
            .where(
                Job.kind == EMBED,
                Job.model_id.not_in(served),
                (Job.state == JobState.QUEUED) | silent,
                ~running.exists(),
            )
            .limit(_BATCH)
        )
        return session.scalars(query).all()


def _adopt(session: Session, job_id: str) -> bool:
    active = registry.find_active(session)
    track_pk = session.scalar(select(Job.track_pk).where(Job.id == job_id))
    if active is None or track_pk is None:
        return False
    session.scalar(select(Track.pk).where(Track.pk == track_pk).with_for_update())
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
    if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
        return False
    own = session.scalar(
        select(Job)
        .where(Job.kind == EMBED, Job.track_pk == track_pk, Job.model_id == active.model_id)
        .with_for_update()
    )
    if own is not None and own.state == JobState.RUNNING:
        return False
    values = _taken_over(own)
    if own is not None:
        session.delete(own)
        session.flush()
    session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(model_id=active.model_id, owner=None, lease_until=None, **values)
    )
    return True


def _taken_over(own: Job | None) -> dict[str, Any]:
    """The state that a waiting job has after it took the place of the other one."""
    if own is None or own.state == JobState.QUEUED:
        return {"state": JobState.QUEUED, "progress": 0.0}
    names = ("state", "progress", "error_code", "error_message", "started_at", "finished_at")
    return {name: getattr(own, name) for name in names}


def _renew_ended(database: Database, model_id: str, max_attempts: int) -> None:
    """Try again what failed, was cancelled, or is done and yet has no vectors any more."""
    ended = (JobState.FAILED, JobState.CANCELLED, JobState.DONE)
    query = (
        select(Job)
        .where(
            Job.kind == EMBED,
            Job.model_id == model_id,
            Job.state.in_(ended),
            Job.track_pk.in_(missing_tracks(model_id)),
        )
        .limit(_BATCH)
        .with_for_update()
    )
    while True:
        with database.write() as session:
            jobs = session.scalars(query).all()
            for job in jobs:
                renew(job, max_attempts, database_now(session))
        if len(jobs) < _BATCH:
            return


def prune(database: Database, model_id: str) -> int:
    """Delete every vector, tag and job of a model that is not used; returns the tracks it had.

    In small transactions: a kill leaves a part, and the next call the rest. Raises ModelNotFound,
    ModelInUse.
    """
    tracks = 0
    while True:
        with database.write() as session:
            _check_unused(session, model_id)
            pks = session.scalars(
                select(TrackVector.track_pk).where(TrackVector.model_id == model_id).limit(_BATCH)
            ).all()
            for table in (Clip, TrackVector, TrackTagging):
                of_tracks = table.track_pk.in_(pks)
                session.execute(
                    delete(table).where(table.model_id == model_id, of_tracks),
                    execution_options={"synchronize_session": False},
                )
        tracks += len(pks)
        if len(pks) < _BATCH:
            break
    with database.write() as session:
        _check_unused(session, model_id)
        for other in (Clip, TrackTagging, TagLabel, WaitingEmbedding, Job, ServedModel):
            session.execute(
                delete(other).where(other.model_id == model_id),
                execution_options={"synchronize_session": False},
            )
    return tracks


def _check_unused(session: Session, model_id: str) -> None:
    lock_until_commit(session, LockSpace.MODELS)
    registry.get_model(session, model_id)
    active, wanted = registry.find_active(session), registry.find_next(session)
    used = {active.model_id if active else None, wanted.model_id if wanted else None}
    if model_id in used:
        raise ModelInUse(model_id=model_id)
