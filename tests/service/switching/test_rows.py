"""A change of model as rows: jobs that are taken over, progress, what a race may not do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import Job, JobState, Track, TrackState, TrackVector
from service.jobs.queue import Priority, add_job
from service.switching import registry, switch
from service.switching.progress import read_progress
from service.switching.registry import ModelIdentity
from tests.support.encoder import MODEL_ID
from tests.support.library import Library
from tests.support.rows import new_track

NEXT = "next-1"


@pytest.fixture
def changing(database: Database) -> Database:
    """A library served with one model, and a change to another begun."""
    with database.write() as session:
        registry.adopt_first(session, ModelIdentity(MODEL_ID, None, "old", "CC0-1.0", 4))
        registry.register(session, ModelIdentity(NEXT, "next", "new", "CC0-1.0", 4))
    switch.begin(database, NEXT)
    return database


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Iterator[Library]:
    built = Library(database, tmp_path)
    yield built
    built.close()


def ready_track(database: Database, *models: str, duration_s: float = 60.0) -> int:
    with database.write() as session:
        track = new_track(session, state=TrackState.READY, duration_s=duration_s)
        for model_id in models:
            session.add(
                TrackVector(track_pk=track.pk, model_id=model_id, clip_count=1, vector=b"v")
            )
        return track.pk


def job(database: Database, track_pk: int, model_id: str, state: str, **values: object) -> str:
    with database.write() as session:
        made = add_job(session, track_pk, model_id, 3, priority=Priority.INTERACTIVE)
        made.state = state
        for name, value in values.items():
            setattr(made, name, value)
        return made.id


def jobs_of(database: Database, track_pk: int) -> list[tuple[str, str, str]]:
    with database.read() as session:
        rows = session.scalars(sa.select(Job).where(Job.track_pk == track_pk))
        return sorted((row.id, row.model_id, row.state) for row in rows)


def test_progress_counts_tracks_and_time_by_measured_speed(changing: Database) -> None:
    now = datetime.now(UTC)
    for number in range(4):
        pk = ready_track(changing, MODEL_ID, NEXT, duration_s=100.0)
        ended = now - timedelta(seconds=10.0 * number)
        job(changing, pk, NEXT, JobState.DONE, finished_at=ended)
    failed, _ = (ready_track(changing, MODEL_ID, duration_s=300.0) for _ in range(2))
    job(changing, failed, NEXT, JobState.FAILED)
    with changing.write() as session:
        new_track(session)  # pending: it cannot be searched now either
    with changing.read() as session:
        progress = read_progress(session, NEXT)
    assert (progress.total, progress.done, progress.failed) == (6, 4, 1)
    assert progress.share == pytest.approx(4 / 6)
    assert progress.speed == pytest.approx(10.0, rel=0.01)  # 300 s of music in 30 s
    assert progress.eta_s == pytest.approx(60.0, rel=0.01)


def test_without_a_measurement_there_is_no_forecast(changing: Database) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    for number in range(5):
        pk = ready_track(changing, MODEL_ID, NEXT)
        ended = long_ago - timedelta(seconds=number)
        job(changing, pk, NEXT, JobState.DONE, finished_at=ended)
    with changing.read() as session:
        assert read_progress(session, NEXT).eta_s is None


def test_the_row_switches_when_nothing_is_missing_and_not_before(changing: Database) -> None:
    ready_track(changing, MODEL_ID, NEXT)
    missing = ready_track(changing, MODEL_ID)
    assert switch.try_finish(changing) is None
    with changing.write() as session:
        session.add(TrackVector(track_pk=missing, model_id=NEXT, clip_count=1, vector=b"v"))
    assert switch.try_finish(changing) == NEXT
    assert switch.try_finish(changing) is None
    with changing.read() as session:
        standing = registry.read_standing(session)
    assert standing.active is not None
    assert (standing.active.model_id, standing.next) == (NEXT, None)


def test_only_one_process_finishes_a_change(changing: Database) -> None:
    ready_track(changing, MODEL_ID, NEXT)
    finished: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: finished.append(switch.try_finish(changing)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, finished)) == ["None", "None", "None", NEXT]


def test_waiting_jobs_go_on_as_jobs_of_the_model_in_use(changing: Database) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    alone, queued, done, failed, running, silent = (ready_track(changing) for _ in range(6))
    ids = {
        pk: job(changing, pk, MODEL_ID, JobState.QUEUED)
        for pk in (alone, queued, done, failed, running)
    }
    ids[silent] = job(changing, silent, MODEL_ID, JobState.RUNNING, lease_until=past, attempts=1)
    held = job(
        changing, running, NEXT, JobState.RUNNING,
        owner="w", lease_until=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    job(changing, queued, NEXT, JobState.QUEUED)
    job(changing, done, NEXT, JobState.DONE, progress=1.0)
    job(changing, failed, NEXT, JobState.FAILED, error_code="corrupt")
    assert switch.adopt_waiting_jobs(changing) == 0, "both models are served yet"
    switch.switch_now(changing, NEXT)
    assert switch.adopt_waiting_jobs(changing) == 5
    for pk, state in (
        (alone, "queued"), (queued, "queued"), (done, "done"), (failed, "failed"),
        (silent, "queued"),
    ):  # fmt: skip
        assert jobs_of(changing, pk) == [(ids[pk], NEXT, state)]
    assert (ids[running], MODEL_ID, "queued") in jobs_of(changing, running)
    with changing.write() as session:
        session.execute(sa.update(Job).where(Job.id == held).values(state=JobState.DONE))
    assert switch.adopt_waiting_jobs(changing) == 1
    assert jobs_of(changing, running) == [(ids[running], NEXT, "done")]


def test_giving_up_keeps_what_was_made(changing: Database) -> None:
    made, waits = ready_track(changing, MODEL_ID, NEXT), ready_track(changing, MODEL_ID)
    job(changing, made, NEXT, JobState.DONE)
    job(changing, waits, NEXT, JobState.QUEUED)
    assert switch.cancel(changing) == NEXT
    assert jobs_of(changing, waits) == []
    assert [row[2] for row in jobs_of(changing, made)] == ["done"]
    with pytest.raises(switch.NoModelChange):
        switch.cancel(changing)


def test_a_change_begun_again_tries_failed_tracks_again(changing: Database) -> None:
    track = ready_track(changing, MODEL_ID)
    job_id = job(changing, track, NEXT, JobState.FAILED, attempts=3, error_code="internal_error")
    switch.begin(changing, NEXT)
    assert jobs_of(changing, track) == [(job_id, NEXT, "queued")]


def test_a_track_has_the_words_of_the_model_in_use_alone(
    library: Library, database: Database
) -> None:
    """The tags of the next model wait beside those of the present one."""
    from service.database.tables import TagLabel, TagValue
    from service.keywords.store import read_documents, verify_texts

    with database.write() as session:
        registry.adopt_first(session, ModelIdentity(MODEL_ID, None, "old", "CC0-1.0", 4))
        registry.register(session, ModelIdentity(NEXT, "next", "new", "CC0-1.0", 4))
    track = library.upload_tone(title="Tone").track
    library.work_all()
    with database.write() as session:
        session.execute(sa.delete(TagValue))
        for model_id, label in ((MODEL_ID, "oldword"), (NEXT, "newword")):
            row = TagLabel(
                model_id=model_id, vocabulary="v", version=1, group_name="g", label=label,
                vector=b"",
            )  # fmt: skip
            session.add(row)
            session.flush()
            session.add(TagValue(track_pk=track.pk, label_pk=row.pk, score=1.0, assigned=True))

    def words() -> str:
        with database.read() as session:
            return str(read_documents(session, [track.pk])[track.pk].columns())

    assert "oldword" in words()
    assert "newword" not in words()
    switch.switch_now(database, NEXT)
    assert "newword" in words()
    assert "oldword" not in words()
    assert not verify_texts(database).ok, "the stored words follow in the background"
    with database.read() as session:
        assert registry.words_are_old(session)


def test_pruning_leaves_other_models_alone(changing: Database) -> None:
    both, old = ready_track(changing, MODEL_ID, NEXT), ready_track(changing, MODEL_ID)
    with pytest.raises(switch.ModelInUse):
        switch.prune(changing, NEXT)
    switch.cancel(changing)
    assert switch.prune(changing, NEXT) == 1
    with changing.read() as session:
        left = session.execute(sa.select(TrackVector.track_pk, TrackVector.model_id)).all()
        assert session.scalar(sa.select(sa.func.count()).select_from(Track)) == 2
    assert sorted(map(tuple, left)) == [(both, MODEL_ID), (old, MODEL_ID)]
    with pytest.raises(registry.ModelNotFound):
        switch.prune(changing, NEXT)
