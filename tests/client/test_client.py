"""The Python client against a running service, and its patience against a scripted one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from muquery.client import (
    AsyncClient,
    Busy,
    Client,
    Clip,
    ConnectionFailed,
    Invalid,
    NotFound,
    Retries,
    Stored,
    Text,
    UnexpectedAnswer,
)
from muquery.client.events import EventLines
from tests.support.audio import write_audio
from tests.support.process import Server, environment, serving

RATE_HZ = 24_000


def tone(path: Path, pitch_hz: float, seconds: float = 12.0) -> Path:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return write_audio(
        path, (0.3 * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32), RATE_HZ
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("service")
    with serving(environment(folder, f"sqlite:///{folder}/muquery.db")) as running:
        yield running


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("music")
    return [tone(folder / f"tone-{n}.wav", 150.0 * (n + 1)) for n in range(3)]


def test_a_program_goes_all_the_way(server: Server, music: list[Path]) -> None:
    with Client(server.url) as client:
        assert client.ready().status == "ok"
        seen: list[tuple[int, int | None]] = []
        results = [
            client.upload(
                path,
                {"title": f"Tone {n}", "artist": "Sine", "year": 2000 + n},
                progress=lambda sent, size: seen.append((sent, size)),
            )
            for n, path in enumerate(music)
        ]
        sizes = [path.stat().st_size for path in music]
        assert [size for sent, size in seen if sent == size]
        assert seen[-1][1] == sizes[-1]
        changes: list[float] = []
        for result in results:
            assert result.job is not None
            done = client.wait_for_job(result.job.id, lambda job: changes.append(job.progress))
            assert done.state == "done"
        assert client.upload(music[0]).duplicate

        ids = {track.title: track.id for track in client.tracks(sort="title", limit=1)}
        assert list(ids) == ["Tone 0", "Tone 1", "Tone 2"]
        page = client.search("a low tone", limit=2)
        assert len(page.items) == 2
        assert page.next_cursor is not None
        hits = list(client.search_all("a low tone", limit=1))
        assert sorted(hit.track.id for hit in hits) == sorted(ids.values())
        mixed = client.search([Text("tone"), Stored(ids["Tone 0"], 0, 5, weight=0.5)])
        assert {hit.track.id for hit in mixed.items} == {ids["Tone 1"], ids["Tone 2"]}
        old = client.search("tone", filter={"field": "year", "range": {"lte": 2000}})
        assert [hit.track.title for hit in old.items] == ["Tone 0"]

        assert client.edit_track(ids["Tone 0"], genre="test").genre == "test"
        counts = client.facets(["year"]).items[0]
        assert {value.value: value.count for value in counts.values} == {2000: 1, 2001: 1, 2002: 1}
        assert client.passages(ids["Tone 0"], "tone").items[0].score is not None
        tagged = client.tag_track(ids["Tone 0"], labels=["bass", "flute"])
        assert {item.label for item in tagged.items} == {"bass", "flute"}
        assert client.embed_texts(["a", "b"]).embed_dim == len(client.embed_audio(music[0]).mean)
        copy = music[0].with_name("copy.wav")
        assert client.download(ids["Tone 0"], copy) == sizes[0]
        assert copy.read_bytes() == music[0].read_bytes()
        assert client.update_tracks({"album": "Waves"}, ids=list(ids.values())).changed == 3
        client.delete_track(ids["Tone 2"])
        with pytest.raises(NotFound) as missing:
            client.track(ids["Tone 2"])
        assert (missing.value.code, missing.value.status) == ("track_not_found", 404)
        assert missing.value.request_id
        with pytest.raises(Invalid) as broken:
            client.search("tone", filter={"field": "nonsense", "eq": 1})
        assert broken.value.status == 422
        assert client.check_index("verify").ok
        assert [model.active for model in client.models().items].count(True) == 1


def test_clips_that_are_not_stored_are_searched_by(server: Server, music: list[Path]) -> None:
    with Client(server.url) as client, music[1].open("rb") as file:
        client.upload(music[1])
        by_path = client.search([Clip(music[1]), Text("drums", weight=-0.2)])
        by_file = client.search([Clip(file), Text("drums", weight=-0.2)])
        assert by_path.items
        assert [hit.score for hit in by_path.items] == [hit.score for hit in by_file.items]
        assert by_path.items[0].track.sha256 == client.upload(music[1]).track.sha256


def test_batches_and_events(server: Server, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.url) as client:
            kinds: list[str] = []

            async def listen() -> None:
                async for event in client.events():
                    kinds.append(event.kind)
                    if event.kind == "import" and event.data["state"] == "done":
                        return

            listening = asyncio.create_task(listen())
            while "hello" not in kinds:
                await asyncio.sleep(0.05)
            batch = await client.create_import(source="upload", name="three tones")
            for number in range(3):
                path = tone(tmp_path / f"batch-{number}.wav", 2000.0 + 100 * number, 2.0)
                await client.upload(path, import_id=batch.id, name=path.name)
            await client.change_import(batch.id, "close")
            ended = await client.wait_for_import(batch.id)
            assert ended.state == "done"
            assert ended.counts["done"] == 3
            items = [item async for item in client.import_items(batch.id)]
            assert sorted(item.path for item in items) == [f"batch-{n}.wav" for n in range(3)]
            await asyncio.wait_for(listening, 20)
            assert kinds[0] == "hello"

    asyncio.run(scenario())


def scripted(answers: list[httpx.Response | Exception]) -> tuple[httpx.Client, list[bytes]]:
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        nxt = answers.pop(0)
        if isinstance(nxt, Exception):
            raise nxt
        return nxt

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://test/api/v1")
    return http, bodies


def busy(status: int = 429, wait_s: str = "0") -> httpx.Response:
    error = {"code": "too_many", "message": "Later.", "details": {}, "request_id": "r"}
    return httpx.Response(status, json={"error": error}, headers={"Retry-After": wait_s})


def stored(track_id: str) -> httpx.Response:
    fields = {
        "id": track_id, "title": None, "artist": None, "album": None, "genre": None, "year": None,
        "licence": None, "attribution": None, "extra": {}, "filename": "f", "media_type": "audio",
        "format": None, "codec": None, "sample_rate_hz": None, "channels": None, "size_bytes": 1,
        "sha256": "0", "duration_s": None, "analysed_s": None, "state": "ready",
        "error_code": None, "error_message": None, "warnings": [],
        "added_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "from_a_newer_service": True,
    }  # fmt: skip
    return httpx.Response(200, json=fields)


def test_a_busy_service_is_asked_again_and_files_are_sent_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x" * 1000)
    track = stored("t").json()
    done = httpx.Response(202, json={"track": track, "job": None, "duplicate": False})
    http, bodies = scripted([busy(), busy(503), done])
    with path.open("rb") as file:
        assert Client(http=http).upload(file).track.id == "t"
    assert [body.count(b"x" * 1000) for body in bodies] == [1, 1, 1]


def test_patience_ends(tmp_path: Path) -> None:
    http, bodies = scripted([busy(wait_s="0") for _ in range(3)])
    with pytest.raises(Busy) as given_up:
        Client(http=http, retries=Retries(most=2)).track("t")
    assert given_up.value.retry_after_s == 0.0
    assert len(bodies) == 3


def test_only_harmless_requests_are_repeated_after_a_break() -> None:
    quick = Retries(first_s=0.0)
    http, _ = scripted([httpx.ConnectError("gone"), stored("t")])
    assert Client(http=http, retries=quick).track("t").id == "t"
    http, bodies = scripted([httpx.ReadError("gone"), stored("t")])
    with pytest.raises(ConnectionFailed):
        Client(http=http, retries=quick).create_key("twice would be two keys")
    assert len(bodies) == 1


def test_something_else_at_the_address_is_said() -> None:
    http, _ = scripted([httpx.Response(404, text="<html>not muquery</html>")])
    with pytest.raises(UnexpectedAnswer, match="404"):
        Client(http=http).track("t")
    http, _ = scripted([httpx.Response(200, text="<html>not muquery</html>")])
    with pytest.raises(UnexpectedAnswer):
        Client(http=http).track("t")


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        public = inspect.getmembers(kind, lambda m: inspect.isfunction(m))
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in public
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


def test_event_lines() -> None:
    lines = EventLines()
    text = ': still here\nretry: 1500\nid: a-1\nevent: job\ndata: {"x":\ndata: 1}\n'
    got = [lines.feed(line) for line in text.split("\n")]
    events = [event for event in got if event]
    assert [(event.id, event.kind, event.data) for event in events] == [("a-1", "job", {"x": 1})]
    assert (lines.last_id, lines.retry_s) == ("a-1", 1.5)
    lines.feed("data: half")
    lines.broken()
    assert lines.feed("") is None
