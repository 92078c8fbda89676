"""A change of model while all processes share one Milvus: two models' vectors lie there at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from indexer.milvus_index import MilvusConfig, MilvusIndex
from tests.service.switching.test_change import TurnedEncoder, check
from tests.support.encoder import FakeEncoder
from tests.support.milvus import MilvusServer
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

pytestmark = [pytest.mark.cluster, pytest.mark.postgres]

WAIT_S = 180.0


@dataclass
class Pair:
    """Two services of one library, of which the first works too; models of this test alone."""

    first: TestClient
    second: TestClient
    old: FakeEncoder
    new: TurnedEncoder

    def search(self, client: TestClient, text: str = "low", **params: Any) -> dict[str, Any]:
        answer = client.get(f"{API}/search", params={"q": text, **params})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def begin(self, model_id: str) -> None:
        answer = self.first.post(f"{API}/models/{model_id}/activate")
        assert answer.status_code == 202, answer.text

    def models_in_answers(self) -> list[str]:
        """Of both; each answer must be right for its model, tracks and passages alike."""
        seen = []
        for client in (self.first, self.second):
            seen.append(check(self.search(client)))
            passages = self.search(client, level="passage")
            assert passages["items"][0]["track"]["filename"] == "low.wav"
            assert passages["items"][0]["score"] > 0.8
        return seen

    def wait_for(self, model_id: str) -> None:
        eventually(lambda: self.models_in_answers() == [model_id] * 2, WAIT_S)


@pytest.fixture
def pair(tmp_path: Path, postgres_url: str, milvus_server: MilvusServer) -> Iterator[Pair]:
    suffix = uuid4().hex
    old, new = FakeEncoder(model_id=f"old-{suffix}"), TurnedEncoder()
    new.model_id = f"new-{suffix}"
    shared = {"index_engine": "milvus", "milvus_url": milvus_server.url}
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                running_service(
                    make_settings(tmp_path / name, postgres_url, worker=worker, **shared),
                    models={None: old, "turned": new},
                )
            )[0]
            for name, worker in (("first", "thread"), ("second", "off"))
        ]
        for path in write_tones(tmp_path).values():
            job = upload(clients[0], path).json()["job"]
            assert wait_for_job(clients[0], job["id"])["state"] == "done"
        for client in clients:
            wait_for_index(client)
        assert clients[0].post(f"{API}/models", json={"source": "turned"}).status_code == 201
        yield Pair(*clients, old, new)
    for model_id in (old.model_id, new.model_id):
        for kind in ("tracks", "clips"):
            opened = MilvusIndex.open(
                MilvusConfig(milvus_server.url), kind=kind, model_id=model_id, dim=old.embed_dim
            )
            opened.drop()


def is_sound(client: TestClient) -> bool:
    return bool(client.post(f"{API}/index/verify").json()["ok"])


def test_both_services_change_there_and_back_and_never_mix(pair: Pair) -> None:
    old, new = pair.old.model_id, pair.new.model_id
    assert pair.models_in_answers() == [old, old]
    pair.new.gate.clear()
    pair.begin(new)
    eventually(lambda: pair.new.entered > 0, WAIT_S)
    assert pair.models_in_answers() == [old, old], "while vectors of both are there"
    pair.new.gate.set()
    pair.wait_for(new)
    for client in (pair.first, pair.second):
        state = client.get(f"{API}/index").json()
        assert (state["engine"], state["model_id"], state["tracks"]) == ("milvus", new, 3)
        eventually(lambda client=client: is_sound(client), WAIT_S)

    calls = len(pair.old.clip_calls)
    pair.begin(old)
    pair.wait_for(old)
    assert len(pair.old.clip_calls) == calls, "its vectors were still there"
    pruned = pair.first.delete(f"{API}/models/{new}")
    assert pruned.json() == {"model_id": new, "tracks": 3}
    assert pair.models_in_answers() == [old, old]
    eventually(lambda: is_sound(pair.second), WAIT_S)


def test_a_track_deleted_during_the_change_is_in_neither(pair: Pair) -> None:
    pair.new.gate.clear()
    pair.begin(pair.new.model_id)
    eventually(lambda: pair.new.entered > 0, WAIT_S)
    items = pair.search(pair.first, "high")["items"]
    high = next(hit["track"] for hit in items if hit["track"]["filename"] == "high.wav")
    assert pair.second.delete(f"{API}/tracks/{high['id']}").status_code == 204

    def names(client: TestClient) -> set[str]:
        return {hit["track"]["filename"] for hit in pair.search(client, "high")["items"]}

    assert "high.wav" not in names(pair.first) | names(pair.second)
    pair.new.gate.set()
    pair.wait_for(pair.new.model_id)
    assert "high.wav" not in names(pair.first) | names(pair.second)
    eventually(lambda: pair.first.get(f"{API}/index").json()["tracks"] == 2, WAIT_S)
    eventually(lambda: is_sound(pair.first), WAIT_S)
