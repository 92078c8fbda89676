"""The asynchronous client. `muquery.client.sync_client` is its twin, method by method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx

from muquery.client import calls
from muquery.client.calls import Call, Filter, SearchWish, Source
from muquery.client.errors import ConnectionFailed, error_of
from muquery.client.events import Event, EventLines
from muquery.client.parts import Part
from muquery.client.retries import Retries
from muquery.client.sending import (
    DEFAULT_URL,
    POLL_S,
    PREFIX,
    TIMEOUT,
    Progress,
    prepared,
    read_answer,
)
from service.api import (
    access_schemas,
    import_schemas,
    library_schemas,
    model_schemas,
    schemas,
    tag_schemas,
    worker_schemas,
)

T = TypeVar("T")


class AsyncClient:
    """Talks to one service; use it as `async with AsyncClient(url, key) as client`.

    Raises ApiError (by kind: NotFound, Invalid, NotAllowed, Conflict, Busy) for what the service
    refuses, ConnectionFailed where nothing answers, UnexpectedAnswer for something else there.
    Busy answers and, where repeating is harmless, broken connections are tried again.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        retries: Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`http` replaces the connection itself (its base_url must end in /api/v1)."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = http or httpx.AsyncClient(
            base_url=url.rstrip("/") + PREFIX, headers=headers, timeout=TIMEOUT
        )
        self._retries = retries or Retries()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def send(self, call: Call[T], progress: Progress | None = None) -> T:
        """Send a call, patiently, and return what it reads from the answer."""
        attempt = 0
        while True:
            wait_s: float | None
            try:
                with prepared(call, progress) as arguments:
                    response = await self.http.request(call.method, call.path, **arguments)
            except httpx.TransportError as error:
                wait_s = self._retries.after_break(call.idempotent, attempt)
                if wait_s is None:
                    raise ConnectionFailed(
                        f"no answer from {self.http.base_url}: {error}"
                    ) from None
            else:
                if response.is_success:
                    return read_answer(call, response)
                wait_s = self._retries.after_answer(response, attempt)
                if wait_s is None:
                    raise error_of(response)
            attempt += 1
            await asyncio.sleep(wait_s)

    # --- search ---------------------------------------------------------------------------

    async def search(
        self, query: str | Part | Sequence[str | Part], **wish: Any
    ) -> schemas.SearchResponse:
        """One page of hits for a text, a part, or a mix of them.

        `wish` takes filter, mode ("semantic", "keyword", "hybrid"), level ("track", "passage"),
        limit, cursor, passages, min_relevance, max_per ({"artist": 2}), collapse_duplicates.
        """
        return await self.send(calls.search(query, SearchWish(**wish)))

    async def search_all(
        self, query: str | Part | Sequence[str | Part], **wish: Any
    ) -> AsyncIterator[schemas.Hit]:
        """Every hit, page by page, until the list ends or you stop."""
        while True:
            page = await self.search(query, **wish)
            for hit in page.items:
                yield hit
            if page.next_cursor is None:
                return
            wish["cursor"] = page.next_cursor

    async def facets(
        self,
        fields: Sequence[str],
        *,
        filter: Filter | None = None,  # noqa: A002  # the API's own name
        text: str | None = None,
        limit: int = 20,
    ) -> library_schemas.FacetList:
        """The values of fields with counts, under a filter."""
        return await self.send(calls.facets(fields, filter, text, limit))

    # --- tracks ---------------------------------------------------------------------------

    async def upload(
        self,
        audio: Source,
        metadata: Mapping[str, Any] | None = None,
        *,
        import_id: str | None = None,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> schemas.UploadResult:
        """Add a file; it can be found once its job is done. `progress` gets bytes sent, of all."""
        call = calls.upload(audio, metadata or {}, import_id, name)
        return await self.send(call, progress)

    async def tracks(self, **wanted: Any) -> AsyncIterator[schemas.Track]:
        """All tracks that `wanted` (filter, q, state, artist, sort, ...) lets through."""
        while True:
            page = await self.send(calls.list_tracks(**wanted))
            for track in page.items:
                yield track
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    async def track(self, track_id: str) -> schemas.Track:
        """One track; raises NotFound."""
        return await self.send(calls.get_track(track_id))

    async def edit_track(self, track_id: str, **changes: Any) -> schemas.Track:
        """Change a track's title, artist, album, genre, year, licence, attribution or extra."""
        return await self.send(calls.edit_track(track_id, changes))

    async def delete_track(self, track_id: str) -> None:
        """Delete a track, its audio and its vectors; no search shows it afterwards."""
        await self.send(calls.delete_track(track_id))

    async def update_tracks(
        self, changes: Mapping[str, Any], **selection: Any
    ) -> library_schemas.BulkResult:
        """Change many tracks: `selection` is ids or filter, and dry_run, expected."""
        return await self.send(calls.change_tracks("update", {"set": dict(changes), **selection}))

    async def delete_tracks(self, **selection: Any) -> library_schemas.BulkResult:
        """Delete many tracks: `selection` is ids or filter, and dry_run, expected."""
        return await self.send(calls.change_tracks("delete", selection))

    async def passages(self, track_id: str, text: str | None = None) -> schemas.TrackPassages:
        """All passages of a track in order of time, scored where a text is given."""
        return await self.send(calls.passages(track_id, text))

    async def download(self, track_id: str, target: Path) -> int:
        """Write a track's audio file to `target`, whole or not at all; returns its bytes."""
        part = target.with_name(target.name + ".part")
        size = 0
        async with self.http.stream("GET", f"/tracks/{track_id}/audio") as response:
            if not response.is_success:
                await response.aread()
                raise error_of(response)
            with part.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    size += file.write(chunk)
        part.replace(target)
        return size

    # --- tags and vectors -----------------------------------------------------------------

    async def tag_track(self, track_id: str, **options: Any) -> tag_schemas.TagResponse:
        """Score labels, groups or a vocabulary on a stored track, or on start_s to end_s of it."""
        return await self.send(calls.tag(track_id, options, stored=True))

    async def tag_audio(self, audio: Source, **options: Any) -> tag_schemas.TagResponse:
        """Score labels, groups or a vocabulary on a clip that is not kept."""
        return await self.send(calls.tag(audio, options, stored=False))

    async def track_tags(self, track_id: str, timeline: bool = False) -> tag_schemas.TrackTags:
        """The tags that a track was given when it was analysed."""
        return await self.send(calls.track_tags(track_id, timeline))

    async def vocabularies(self) -> tag_schemas.VocabularyList:
        """The current version of every stored vocabulary."""
        return await self.send(calls.list_vocabularies())

    async def vocabulary(self, name: str, version: int | None = None) -> tag_schemas.Vocabulary:
        """A stored vocabulary, or one version of it."""
        return await self.send(calls.get_vocabulary(name, version))

    async def save_vocabulary(
        self, name: str, content: Mapping[str, Any]
    ) -> tag_schemas.SavedVocabulary:
        """Store a vocabulary; a change makes a new version."""
        return await self.send(calls.save_vocabulary(name, content))

    async def embed_texts(self, texts: Sequence[str]) -> schemas.EmbeddingResponse:
        """Unit vectors of texts."""
        return await self.send(calls.embed_texts(texts))

    async def embed_audio(self, audio: Source) -> schemas.AudioEmbeddingResponse:
        """Vectors of a clip that is not kept: one per ten seconds, and their mean."""
        return await self.send(calls.embed_audio(audio))

    # --- jobs and imports -----------------------------------------------------------------

    async def job(self, job_id: str) -> schemas.Job:
        """One job; raises NotFound."""
        return await self.send(calls.get_job(job_id))

    async def retry_job(self, job_id: str) -> schemas.Job:
        """Queue a failed or cancelled job again."""
        return await self.send(calls.change_job(job_id, "retry"))

    async def cancel_job(self, job_id: str) -> schemas.Job:
        """Cancel a job that has not ended."""
        return await self.send(calls.change_job(job_id, "cancel"))

    async def wait_for_job(
        self, job_id: str, on_change: Callable[[schemas.Job], Any] | None = None
    ) -> schemas.Job:
        """Wait until a job is done, failed or cancelled; `on_change` sees it every half second."""
        return await self._wait(
            lambda: self.job(job_id), lambda job: job.state not in ("queued", "running"), on_change
        )

    async def create_import(self, **body: Any) -> import_schemas.ImportCreated:
        """Begin a batch: source ("upload" or "folder"), folder, name, reference, webhook."""
        return await self.send(calls.create_import(body))

    async def get_import(self, import_id: str) -> import_schemas.Import:
        """A batch with its counts, speed and ETA."""
        return await self.send(calls.get_import(import_id))

    async def change_import(
        self, import_id: str, action: Literal["pause", "resume", "cancel", "close"]
    ) -> import_schemas.Import:
        """Pause, resume, cancel or close (nothing more will be sent) a batch."""
        return await self.send(calls.change_import(import_id, action))

    async def retry_import(self, import_id: str) -> import_schemas.RetryResult:
        """Try a batch's failed files again."""
        return await self.send(calls.retry_import(import_id))

    async def import_items(
        self, import_id: str, state: str | None = None
    ) -> AsyncIterator[import_schemas.ImportItem]:
        """The files of a batch with what became of each, or those in one state."""
        cursor: str | None = None
        while True:
            page = await self.send(calls.import_items(import_id, state=state, cursor=cursor))
            for item in page.items:
                yield item
            if (cursor := page.next_cursor) is None:
                return

    async def wait_for_import(
        self, import_id: str, on_change: Callable[[import_schemas.Import], Any] | None = None
    ) -> import_schemas.Import:
        """Wait until a batch has ended (or is paused, and will not end by itself)."""
        return await self._wait(
            lambda: self.get_import(import_id),
            lambda batch: batch.finished_at is not None or batch.state == "paused",
            on_change,
        )

    async def events(self) -> AsyncIterator[Event]:
        """What happens in the service, as it happens, for ever; goes on after a break."""
        lines = EventLines()
        while True:
            headers = {"Last-Event-ID": lines.last_id} if lines.last_id else {}
            try:
                async with self.http.stream("GET", "/events", headers=headers) as response:
                    if not response.is_success:
                        await response.aread()
                        raise error_of(response)
                    async for line in response.aiter_lines():
                        event = lines.feed(line)
                        if event is not None:
                            yield event
            except httpx.TransportError:
                pass
            lines.broken()
            await asyncio.sleep(lines.retry_s)

    # --- operation ------------------------------------------------------------------------

    async def ready(self) -> schemas.Health:
        """Whether everything that a search needs is there; raises Busy while it is not."""
        return await self.send(calls.ready())

    async def models(self) -> model_schemas.ModelList:
        """The models that are there, and which one is active."""
        return await self.send(calls.list_models())

    async def workers(self) -> worker_schemas.WorkerList:
        """Who analyses what is uploaded, and why nobody does where that is so."""
        return await self.send(calls.list_workers())

    async def index(self) -> schemas.IndexState:
        """How far the index is."""
        return await self.send(calls.index_state())

    async def check_index(self, action: Literal["verify", "repair"]) -> schemas.VerifyResult:
        """Compare the index with the database, and set it right if asked to repair."""
        return await self.send(calls.check_index(action))

    async def own_access(self) -> access_schemas.OwnAccess:
        """What this client's key allows."""
        return await self.send(calls.own_access())

    async def keys(self) -> AsyncIterator[access_schemas.Key]:
        """All API keys, newest first."""
        wanted: dict[str, Any] = {}
        while True:
            page = await self.send(calls.list_keys(**wanted))
            for key in page.items:
                yield key
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    async def create_key(self, name: str, **options: Any) -> access_schemas.NewKey:
        """Make a key; its secret is in the answer and nowhere else. Options: scopes, expires_at."""
        return await self.send(calls.create_key({"name": name, **options}))

    async def revoke_key(self, key_id: str) -> None:
        """Make a key useless, for ever."""
        await self.send(calls.revoke_key(key_id))

    async def _wait(
        self,
        look: Callable[[], Awaitable[T]],
        has_ended: Callable[[T], bool],
        on_change: Callable[[T], Any] | None,
    ) -> T:
        while True:
            state = await look()
            if on_change is not None:
                on_change(state)
            if has_ended(state):
                return state
            await asyncio.sleep(POLL_S)
