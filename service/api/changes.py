"""What changed in the database since it was last asked: the source of server-sent events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from service.api.events import Change
from service.api.import_wire import import_out
from service.api.wire import job_out
from service.database.engine import Database, database_now
from service.database.tables import Job, Track
from service.imports.service import ImportView, imports_since
from service.index_sync.changes import latest_seq
from service.jobs.service import JobView, with_problems

LOOKBACK = timedelta(seconds=5)
"""A row's `updated_at` is set before its commit, by another clock: look back a little further."""

MAX_JOBS = 500
MAX_IMPORTS = 50

_Version = tuple[str, float, str | None, int]


class ChangeWatcher:
    """Remembers what it has told; for one thread at a time."""

    def __init__(self, database: Database, on_publish: Callable[[], None]) -> None:
        self._database = database
        self._on_publish = on_publish
        self._told: dict[str, _Version] = {}
        self._told_imports: dict[str, tuple[object, ...]] = {}
        self._latest_seq = -1

    def hello(self) -> dict[str, Any]:
        with self._database.read() as session:
            return {"latest_seq": latest_seq(session)}

    def look(self) -> list[Change]:
        """Jobs whose state or progress moved, oldest first, and whether the library changed."""
        with self._database.read() as session:
            since = database_now(session) - LOOKBACK
            rows = session.execute(
                select(Job, Track.id, Track.title)
                .outerjoin(Track, Track.pk == Job.track_pk)
                .where(Job.updated_at > since)
                .order_by(Job.updated_at)
                .limit(MAX_JOBS)
            ).all()
            views = with_problems(session, [JobView(*row) for row in rows])
            seq = latest_seq(session)
            batches = imports_since(session, since, limit=MAX_IMPORTS)
        changes = self._changed_imports(batches)
        told: dict[str, _Version] = {}
        for view in views:
            job = view.job
            version = (job.state, job.progress, job.error_code, job.attempts)
            told[job.id] = version
            if self._told.get(job.id) != version:
                changes.append(Change("job", job_out(view).model_dump(mode="json")))
        self._told = told
        if seq != self._latest_seq:
            self._latest_seq = seq
            self._on_publish()  # whoever hears of it will search for it
            changes.append(Change("library", {"latest_seq": seq}))
        return changes

    def _changed_imports(self, views: list[ImportView]) -> list[Change]:
        """Those that say something else than before; a measured speed alone is no news."""
        told: dict[str, tuple[object, ...]] = {}
        changes = []
        for view in views:
            batch = view.batch
            deliveries = tuple((each.id, each.attempts, each.state) for each in view.deliveries)
            version = (
                batch.state,
                batch.listed_at,
                batch.error_code,
                tuple(view.progress.counts.values()),
                deliveries,
            )
            told[batch.id] = version
            if self._told_imports.get(batch.id) != version:
                changes.append(Change("import", import_out(view).model_dump(mode="json")))
        self._told_imports = told
        return changes
