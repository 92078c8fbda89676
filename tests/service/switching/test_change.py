"""A change of model in one process: beside the old vectors, without a pause, and back again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from models.interface import Vectors
from service.database.tables import Clip, Job, Track, TrackVector
from service.runtime import Services
from service.switching import registry
from tests.support.encoder import FakeEncoder
from tests.support.service import (
    API,
    eventually,
    make_settings,
    running_service,
    upload,
    wait_for_index,
    wait_for_job,
)
from tests.support.tones import write_tones

OLD, NEW = "fake-1", "fake-2"
WAIT_S = 120.0


class TurnedEncoder(FakeEncoder):
    """Another space: its vectors and those of FakeEncoder have nothing to do with each other."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(model_id=NEW, **changes)
        self.name = "turned"

    @property
    def reference(self) -> Vectors:
        return np.roll(super().reference, 7, axis=1)

    def embed_text(self, texts: Any) -> Vectors:
        return np.roll(super().embed_text(texts), 7, axis=1)

    def embed_clips(self, clips: Vectors) -> Vectors:
        return np.roll(super().embed_clips(clips), 7, axis=1)


@dataclass
class Changing:
    client: TestClient
    services: Services
    old: FakeEncoder
    new: TurnedEncoder

    def begin(self, model_id: str = NEW, **params: Any) -> Any:
        answer = self.client.post(f"{API}/models/{model_id}/activate", params=params)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def models(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"{API}/models").json()
        return found

    def search(self, text: str = "low") -> dict[str, Any]:
        answer = self.client.get(f"{API}/search", params={"q": text})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait_for(self, model_id: str) -> None:
        eventually(lambda: self.search()["model_id"] == model_id, WAIT_S)


@contextmanager
def changing_service(data_dir: Path, url: str, **changes: Any) -> Iterator[Changing]:
    old, new = FakeEncoder(), TurnedEncoder()
    settings = make_settings(data_dir, url, **changes)
    with running_service(settings, models={None: old, "turned": new}) as (client, services):
        yield Changing(client, services, old, new)


@pytest.fixture
def changing(tmp_path: Path, database_url: str) -> Iterator[Changing]:
    """Three analysed tracks under the old model, and the new one known."""
    with changing_service(tmp_path / "data", database_url) as service:
        for path in write_tones(tmp_path).values():
            job = upload(service.client, path).json()["job"]
            assert wait_for_job(service.client, job["id"])["state"] == "done"
        wait_for_index(service.client)
        added = service.client.post(f"{API}/models", json={"source": "turned"})
        assert added.status_code == 201, added.text
        assert added.json()["state"] == "unused"
        yield service


def check(found: dict[str, Any]) -> str:
    """The hits are those of one model: across two the scores of a text are near zero."""
    assert found["items"][0]["track"]["filename"] == "low.wav"
    assert found["items"][0]["score"] > 0.8
    model_id: str = found["model_id"]
    return model_id


def test_searches_go_on_and_never_mix_models(changing: Changing) -> None:
    seen: list[str] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def keep_searching() -> None:
        while not done.is_set():
            try:
                seen.append(check(changing.search()))
            except BaseException as error:  # noqa: BLE001 - told below
                failures.append(error)
                return

    changing.new.gate.clear()  # nothing can be analysed with it yet
    searching = threading.Thread(target=keep_searching)
    searching.start()
    begun = changing.begin()
    assert begun["state"] == "next"
    assert (begun["change"]["done"], begun["change"]["tracks"]) == (0, 3)
    eventually(lambda: changing.new.entered > 0, WAIT_S)
    before = len(seen)
    eventually(lambda: len(seen) > before + 3, WAIT_S)
    assert set(seen) == {OLD}
    changing.new.gate.set()
    eventually(lambda: NEW in seen or failures, WAIT_S)
    after = len(seen)
    eventually(lambda: len(seen) > after + 3 or failures, WAIT_S)
    done.set()
    searching.join()
    assert not failures
    assert seen == sorted(seen), "once changed it stays changed"
    standing = changing.models()
    assert standing["change"] is None
    assert [(model["model_id"], model["state"]) for model in standing["items"]] == [
        (NEW, "active"),
        (OLD, "unused"),
    ]
    assert {model["tracks"] for model in standing["items"]} == {3}


def test_there_and_back_again_and_then_not_any_more(changing: Changing) -> None:
    changing.begin()
    changing.wait_for(NEW)
    calls = len(changing.old.clip_calls)
    changing.begin(OLD)
    changing.wait_for(OLD)
    check(changing.search())
    assert len(changing.old.clip_calls) == calls, "its vectors were still there"
    pruned = changing.client.delete(f"{API}/models/{NEW}")
    assert pruned.json() == {"model_id": NEW, "tracks": 3}
    with changing.services.database.read() as session:
        for table in (Clip, TrackVector, Job):
            left = session.scalar(
                sa.select(sa.func.count()).select_from(table).where(table.model_id == NEW)
            )
            assert left == 0
    assert [model["model_id"] for model in changing.models()["items"]] == [OLD]
    check(changing.search())
    assert changing.client.post(f"{API}/models/{NEW}/activate").status_code == 404


def test_what_is_uploaded_meanwhile_is_found_before_and_after(
    changing: Changing, tmp_path: Path
) -> None:
    changing.new.gate.clear()
    changing.begin()
    late = write_tones(tmp_path, {"late": 150.0}, duration_s=14.0)["late"]
    job = upload(changing.client, late).json()["job"]
    # The worker may be held up at a track of the next model; uploads go first after that one.
    changing.new.gate.set()
    assert wait_for_job(changing.client, job["id"])["state"] == "done"
    changing.wait_for(NEW)

    def is_found() -> bool:
        names = [hit["track"]["filename"] for hit in changing.search()["items"]]
        return "late.wav" in names[:2]

    eventually(is_found, WAIT_S)
    state = changing.client.get(f"{API}/index").json()
    assert (state["model_id"], state["tracks"]) == (NEW, 4)
    # The words follow in the background.
    eventually(lambda: changing.client.post(f"{API}/index/verify").json()["ok"], WAIT_S)


def test_a_track_that_cannot_be_analysed_holds_the_change_until_told(changing: Changing) -> None:
    with changing.services.database.write() as session:
        sha256 = session.scalar(sa.select(Track.sha256).where(Track.filename == "high.wav"))
    assert sha256 is not None
    changing.services.blobs.delete(sha256)
    changing.begin()

    def has_failed() -> Any:
        change = changing.models()["change"]
        return change and change["done"] == 2 and change["failed"] == 1 and change

    change = eventually(has_failed, WAIT_S)
    assert change["progress"] == pytest.approx(2 / 3)
    assert changing.search()["model_id"] == OLD
    changing.begin(allow_missing=True)
    changing.wait_for(NEW)
    names = [hit["track"]["filename"] for hit in changing.search("high")["items"]]
    assert "high.wav" not in names


def test_a_change_can_be_given_up(changing: Changing) -> None:
    changing.new.gate.clear()
    changing.begin()
    assert changing.client.delete(f"{API}/models/next").status_code == 204
    changing.new.gate.set()
    assert changing.models()["change"] is None
    assert check(changing.search()) == OLD
    again = changing.client.delete(f"{API}/models/next")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "no_model_change")
    changing.begin()
    changing.wait_for(NEW)


def test_what_cannot_be_is_refused(changing: Changing) -> None:
    client = changing.client
    for method, path, status, code in (
        ("POST", f"{OLD}/activate", 409, "model_already_active"),
        ("POST", "nothing/activate", 404, "model_not_found"),
        ("POST", "%00/activate", 404, "model_not_found"),
        ("DELETE", OLD, 409, "model_in_use"),
        ("DELETE", "nothing", 404, "model_not_found"),
    ):
        answer = client.request(method, f"{API}/models/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    changing.new.gate.clear()
    changing.begin()
    assert client.delete(f"{API}/models/{NEW}").json()["error"]["code"] == "model_in_use"
    changing.new.gate.set()


def test_a_cursor_of_the_model_before_is_refused(changing: Changing) -> None:
    page = changing.client.get(f"{API}/search", params={"q": "low", "limit": 1}).json()
    changing.begin()
    changing.wait_for(NEW)
    params = {"q": "low", "limit": 1, "cursor": page["next_cursor"]}
    answer = changing.client.get(f"{API}/search", params=params)
    assert answer.json()["error"]["code"] == "invalid_cursor"


def test_a_library_keeps_its_model_whatever_the_settings_name(
    tmp_path: Path, sqlite_url: str
) -> None:
    for wanted in (None, "turned"):
        with changing_service(tmp_path / "data", sqlite_url, model=wanted) as service:
            assert service.search()["model_id"] == OLD
            with service.services.database.read() as session:
                active = registry.find_active(session)
            assert active is not None
            assert (active.model_id, active.source) == (OLD, None)
