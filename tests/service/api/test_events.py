"""The event stream: what happens is told once, and who comes back gets what was missed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from service.api.changes import ChangeWatcher
from service.api.events import MAX_REPLAYED, Change, EventHub
from service.database.engine import Database
from service.imports.folders import AllowedFolders
from service.imports.service import ImportService, Wanted
from service.imports.webhooks import WebhookRules


class News:
    """Changes that a test makes."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.looks = 0

    def look(self) -> list[Change]:
        self.looks += 1
        found, self.changes = self.changes, []
        return found


def hub_of(news: News, **options: Any) -> EventHub:
    return EventHub(news.look, lambda: {"latest_seq": 7}, poll_s=0.01, **options)


async def read(stream: AsyncIterator[bytes]) -> dict[str, Any]:
    """The next event of a stream."""
    while True:
        text = (await asyncio.wait_for(anext(stream), 20)).decode()
        fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "data" in fields:
            return fields | {"data": json.loads(fields["data"])}


async def leave(stream: Any) -> None:
    await stream.aclose()


def test_after_a_break_the_missed_events_come() -> None:
    async def scene() -> None:
        news = News()
        hub = hub_of(news)
        stream = hub.listen()
        hello = await read(stream)
        assert hello["event"] == "hello"
        assert hello["data"] == {"latest_seq": 7, "resumed": False}
        news.changes = [Change("job", {"n": 1})]
        first = await read(stream)
        assert first["data"] == {"n": 1}
        await leave(stream)
        news.changes = [Change("job", {"n": 2}), Change("import", {"n": 3})]
        looked = news.looks
        while news.looks < looked + 2:
            await asyncio.sleep(0.01)
        back = hub.listen(first["id"])
        assert (await read(back))["data"]["resumed"] is True
        assert [(await read(back))["data"]["n"] for _ in range(2)] == [2, 3]
        news.changes = [Change("job", {"n": 4})]
        last = await read(back)
        assert last["data"] == {"n": 4}
        await leave(back)
        again = hub.listen(last["id"])
        assert (await read(again))["data"]["resumed"] is True, "nothing was missed"
        from_hello = hub.listen(hello["id"])
        assert (await read(from_hello))["data"]["resumed"] is True
        assert [(await read(from_hello))["data"]["n"] for _ in range(4)] == [1, 2, 3, 4]
        await hub.close()

    asyncio.run(scene())


def test_what_is_not_known_any_more_is_said() -> None:
    async def scene() -> None:
        news = News()
        hub = hub_of(news)
        stream = hub.listen()
        hello = await read(stream)
        news.changes = [Change("job", {"n": n}) for n in range(MAX_REPLAYED + 1)]
        while news.changes:
            await asyncio.sleep(0.01)
        await leave(stream)
        stretch = hello["id"].partition("-")[0]
        for unknown in (hello["id"], "other-1", f"{stretch}-99999", f"{stretch}-x", "7", "", "-"):
            late = hub.listen(unknown)
            assert (await read(late))["data"]["resumed"] is False, unknown
            await leave(late)
        await hub.close()

    asyncio.run(scene())


def test_nobody_is_watched_for_after_a_while() -> None:
    async def scene() -> None:
        news = News()
        hub = hub_of(news, linger_s=0.05)
        stream = hub.listen()
        hello = await read(stream)
        await leave(stream)
        while hub._watching is not None:
            await asyncio.sleep(0.01)
        back = hub.listen(hello["id"])
        assert (await read(back))["data"]["resumed"] is False, "something may have been missed"
        await hub.close()

    asyncio.run(scene())


def test_imports_are_told_when_they_change(database: Database) -> None:
    imports = ImportService(database, AllowedFolders(()), WebhookRules())
    watcher = ChangeWatcher(database, lambda: None)
    watcher.look()
    import_id = imports.create(Wanted(name="a")).view.batch.id

    def told() -> list[tuple[str, str]]:
        changes = [change for change in watcher.look() if change.kind == "import"]
        return [(change.data["id"], change.data["state"]) for change in changes]

    assert told() == [(import_id, "running")]
    assert told() == []
    imports.pause(import_id)
    assert told() == [(import_id, "paused")]
    imports.cancel(import_id)
    assert told() == [(import_id, "cancelled")]
