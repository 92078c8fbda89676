"""A change of model with real bundles: two processes that answer, one that works and is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.audio import write_audio
from tests.support.encoder import SAMPLE_RATE_HZ, tone
from tests.support.process import Server, environment, serving
from tests.support.service import eventually

pytestmark = pytest.mark.slow

TRACKS = 6
WAIT_S = 300.0
ANSWER_S = 60.0
PAUSE_S = 0.2


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with other weights."""
    from tests.support.make_tiny_bundle import main

    folder = tmp_path_factory.mktemp("bundle") / "other"
    main(folder, seed=8)
    return folder


@contextmanager
def working(env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A `muquery worker`, killed after the block."""
    with subprocess.Popen([sys.executable, "-m", "muquery", "worker"], env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def search(server: Server) -> tuple[str, int]:
    """The model of an answer and its number of hits; every answer must be one."""
    params = {"q": "calm piano", "limit": 50}
    answer = httpx.get(f"{server.api}/search", params=params, timeout=ANSWER_S)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found["model_id"], len(found["items"])


def change_of(server: Server) -> dict[str, Any] | None:
    change: dict[str, Any] | None = httpx.get(f"{server.api}/models", timeout=ANSWER_S).json()[
        "change"
    ]
    return change


def is_sound(server: Server) -> bool:
    """Whether index and words equal SQL; the words follow a change in the background."""
    verified = httpx.post(f"{server.api}/index/verify", timeout=ANSWER_S)
    return bool(verified.json()["ok"])


def use(server: Server, source: str) -> str:
    """Begin to change to the model of a folder; its id."""
    added = httpx.post(f"{server.api}/models", json={"source": source}, timeout=ANSWER_S)
    assert added.status_code == 201, added.text
    model_id: str = added.json()["model_id"]
    begun = httpx.post(f"{server.api}/models/{model_id}/activate", timeout=ANSWER_S)
    assert begun.status_code == 202, begun.text
    return model_id


def fill(server: Server, folder: Path) -> None:
    for number in range(TRACKS):
        path = write_audio(
            folder / f"{number}.wav", tone(100.0 * 1.5**number, 25.0), SAMPLE_RATE_HZ
        )
        with path.open("rb") as file:
            answer = httpx.post(f"{server.api}/tracks", files={"file": file}, timeout=ANSWER_S)
        assert answer.status_code == 202, answer.text


def test_every_process_follows_and_a_kill_in_the_middle_loses_nothing(
    tmp_path: Path, database_url: str, other_bundle: Path
) -> None:
    env = environment(tmp_path / "data", database_url, WORKER="off", JOB_LEASE_S="2")
    with serving(env) as one, serving(env) as two:
        with working(env) as worker:
            fill(one, tmp_path)
            for server in (one, two):
                eventually(lambda server=server: search(server)[1] == TRACKS, WAIT_S)
            old, _ = search(one)
            new = use(one, str(other_bundle))
            eventually(lambda: (change_of(one) or {}).get("done", 0) >= 2, WAIT_S)
            worker.kill()
        change = change_of(one)
        assert change is not None
        assert 2 <= change["done"] < TRACKS
        assert {search(one), search(two)} == {(old, TRACKS)}
        with working(env):
            _watch([one, two], old, new)
            for server in (one, two):
                eventually(lambda server=server: is_sound(server), WAIT_S)
            assert use(two, env["MUQUERY_MODEL"]) == old
            _watch([one, two], new, old)
            pruned = httpx.delete(f"{two.api}/models/{new}", timeout=ANSWER_S)
            assert pruned.json() == {"model_id": new, "tracks": TRACKS}
            assert {search(one), search(two)} == {(old, TRACKS)}


def _watch(servers: list[Server], before: str, after: str) -> None:
    """Until both have changed: every answer on the way is whole, and nobody changes back."""
    seen: dict[str, list[str]] = {server.url: [] for server in servers}

    def have_changed() -> bool:
        time.sleep(PAUSE_S)
        for server in servers:
            model_id, hits = search(server)
            assert hits == TRACKS
            seen[server.url].append(model_id)
        return all(models[-1] == after for models in seen.values())

    eventually(have_changed, WAIT_S)
    for models in seen.values():
        assert models == sorted(models, key=[before, after].index)
