"""A whole service in a test: real database, blobs, decoder, index and HTTP, with a fake encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service.api.app import create_app
from service.runtime import Services, build_services
from service.settings import Settings
from tests.support.encoder import FakeEncoder

API = "/api/v1"
WAIT_S = 20.0


def make_settings(data_dir: Path, database_url: str, **changes: Any) -> Settings:
    """Settings of a test: quick to poll, no demo library, nothing from the environment."""
    quick = {
        "database_url": database_url,
        "demo_library": False,
        "job_poll_s": 0.05,
        "index_poll_s": 0.05,
        "min_free_bytes": 0,
    }
    return Settings.model_construct(data_dir=data_dir, **(quick | changes))


@contextmanager
def running_service(
    settings: Settings,
    encoder: FakeEncoder | None = None,
    *,
    web_dir: Path | None = None,
    models: Mapping[str | None, FakeEncoder] | None = None,
) -> Iterator[tuple[TestClient, Services]]:
    """The application with its worker and index running, until the block ends.

    `models` gives encoders by their source; None is the one that a new library begins with.
    """
    fake = encoder or FakeEncoder()
    if models is None:
        services = build_services(settings, lambda: fake)
    else:
        services = build_services(settings, load_model=lambda source: models[source])
    folder = {} if web_dir is None else {"web_dir": web_dir}
    app = create_app(settings, services, **folder)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        services.encoder.wait(WAIT_S)
        services.index.wait_until_ready(WAIT_S)
        yield client, services


def eventually(check: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """What `check` returns once it is true; fails after a while."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def upload(client: TestClient, path: Path, **parts: Any) -> Any:
    """POST a file; returns the response."""
    files = {"file": (path.name, path.read_bytes(), "application/octet-stream")}
    return client.post(f"{API}/tracks", files=files, data=parts)


def wait_for_job(client: TestClient, job_id: str) -> dict[str, Any]:
    """The job when it has ended."""

    def ended() -> dict[str, Any] | None:
        job = client.get(f"{API}/jobs/{job_id}").json()
        return job if job["state"] in ("done", "failed", "cancelled") else None

    return eventually(ended)


def wait_for_index(client: TestClient) -> None:
    """Until the index has seen every change."""

    def is_level() -> bool:
        state = client.get(f"{API}/index").json()
        return state["applied_seq"] == state["latest_seq"]

    eventually(is_level)
