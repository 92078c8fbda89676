"""Prometheus metrics of one process, in a registry of its own.

Request durations are labelled with the route's template, never with a path: ids in labels would
make a new time series for each track.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from service.api.request_context import FinishedRequest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DURATION_BUCKETS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip


class Metrics:
    """What this process counts, and the text that /metrics answers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._requests = Histogram(
            "muquery_http_request_duration_seconds",
            "Time from a request's first byte to its last answer byte.",
            ["method", "route", "status"],
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )

    def count_request(self, finished: FinishedRequest) -> None:
        self._requests.labels(finished.method, finished.route, str(finished.status)).observe(
            finished.duration_s
        )

    def render(self) -> bytes:
        return generate_latest(self.registry)
