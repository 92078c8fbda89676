"""Prometheus metrics of one process, in a registry of its own.

Request durations are labelled with the route's template, never with a path: ids in labels would
make a new time series for each track. What SQL knows is asked for when somebody looks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from service.api.request_context import FinishedRequest
from service.database.engine import database_now
from service.database.tables import Job, JobState
from service.inference.encoder import EncoderState
from service.inference.observed import Batch
from service.runtime import Services

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DURATION_BUCKETS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """What this process counts, and the text that /metrics answers."""

    def __init__(self, services: Services) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Histogram(
            "muquery_http_request_duration_seconds",
            "Time from a request's first byte to its last answer byte.",
            ["method", "route", "status"],
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self._batch_sizes = Histogram(
            "muquery_model_batch_size",
            "Texts or clips that went through a tower at once.",
            ["tower"],
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._batch_durations = Histogram(
            "muquery_model_batch_duration_seconds",
            "Time of one run of a tower.",
            ["tower"],
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(_StateCollector(services))
        services.batch_listeners.append(self._count_batch)

    def _count_batch(self, batch: Batch) -> None:
        self._batch_sizes.labels(batch.tower).observe(batch.size)
        self._batch_durations.labels(batch.tower).observe(batch.duration_s)

    def count_request(self, finished: FinishedRequest) -> None:
        self._requests.labels(finished.method, finished.route, str(finished.status)).observe(
            finished.duration_s
        )

    def render(self) -> bytes:
        return generate_latest(self.registry)


class _StateCollector(Collector):
    """Gauges read at the moment of the scrape; a database that is down leaves its own ones out."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        ready = self._services.encoder.state is EncoderState.READY
        yield GaugeMetricFamily("muquery_model_ready", "1 when the model is loaded.", float(ready))
        waiting = float(self._services.texts.waiting)
        yield GaugeMetricFamily("muquery_text_queue_depth", "Texts waiting.", waiting)
        try:
            yield from self._jobs()
            if ready:
                yield from self._index()
        except SQLAlchemyError:
            log.exception("the database did not answer a scrape")

    def _jobs(self) -> Iterator[Metric]:
        counts = GaugeMetricFamily("muquery_jobs", "Jobs by state.", labels=["state"])
        for state, count in self._services.jobs.count_states().items():
            counts.add_metric([state], count)
        yield counts
        with self._services.database.read() as session:
            oldest = session.scalar(
                select(func.min(Job.run_at)).where(Job.state == JobState.QUEUED)
            )
            age_s = 0.0 if oldest is None else (database_now(session) - oldest).total_seconds()
        yield GaugeMetricFamily(
            "muquery_oldest_queued_job_age_seconds",
            "How long the oldest queued job has been due.",
            max(0.0, age_s),
        )
        workers = GaugeMetricFamily(
            "muquery_workers", "Workers of all processes by state.", labels=["state"]
        )
        for state, count in self._services.workers.board().counts.items():
            workers.add_metric([state], count)
        yield workers

    def _index(self) -> Iterator[Metric]:
        state = self._services.index.state()
        lag = float(state.latest_seq - state.applied_seq)
        yield GaugeMetricFamily("muquery_index_lag_changes", "Changes not yet applied.", lag)
        vectors = GaugeMetricFamily("muquery_index_vectors", "Vectors held.", labels=["level"])
        vectors.add_metric(["track"], state.tracks)
        vectors.add_metric(["passage"], state.clips)
        yield vectors
