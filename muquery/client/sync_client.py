"""The synchronous client. `muquery.client.async_client` is its twin, method by method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Client:
    """Talks to one service; use it as `with Client(url, key) as client`.

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
        http: httpx.Client | None = None,
    ) -> None:
        """`http` replaces the connection itself (its base_url must end in /api/v1)."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = http or httpx.Client(
            base_url=url.rstrip("/") + PREFIX, headers=headers, timeout=TIMEOUT
        )
        self._retries = retries or Retries()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def send(self, call: Call[T], progress: Progress | None = None) -> T:
        """Send a call, patiently, and return what it reads from the answer."""
        attempt = 0
        while True:
            wait_s: float | None
            try:
                with prepared(call, progress) as arguments:
                    response = self.http.request(call.method, call.path, **arguments)
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
            time.sleep(wait_s)

    # --- search ---------------------------------------------------------------------------

    def search(
        self, query: str | Part | Sequence[str | Part], **wish: Any
    ) -> schemas.SearchResponse:
        """One page of hits for a text, a part, or a mix of them.

        `wish` takes filter, mode ("semantic", "keyword", "hybrid"), level ("track", "passage"),
        limit, cursor, passages, min_relevance, max_per ({"artist": 2}), collapse_duplicates.
        """
        return self.send(calls.search(query, SearchWish(**wish)))

    def search_all(
        self, query: str | Part | Sequence[str | Part], **wish: Any
    ) -> Iterator[schemas.Hit]:
        """Every hit, page by page, until the list ends or you stop."""
        while True:
            page = self.search(query, **wish)
            yield from page.items
            if page.next_cursor is None:
                return
            wish["cursor"] = page.next_cursor

    def facets(
        self,
        fields: Sequence[str],
        *,
        filter: Filter | None = None,  # noqa: A002  # the API's own name
        text: str | None = None,
        limit: int = 20,
    ) -> library_schemas.FacetList:
        """The values of fields with counts, under a filter."""
        return self.send(calls.facets(fields, filter, text, limit))

    # --- tracks ---------------------------------------------------------------------------

    def upload(
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
        return self.send(call, progress)

    def tracks(self, **wanted: Any) -> Iterator[schemas.Track]:
        """All tracks that `wanted` (filter, q, state, artist, sort, ...) lets through."""
        while True:
            page = self.send(calls.list_tracks(**wanted))
            yield from page.items
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    def track(self, track_id: str) -> schemas.Track:
        """One track; raises NotFound."""
        return self.send(calls.get_track(track_id))

    def edit_track(self, track_id: str, **changes: Any) -> schemas.Track:
        """Change a track's title, artist, album, genre, year, licence, attribution or extra."""
        return self.send(calls.edit_track(track_id, changes))

    def delete_track(self, track_id: str) -> None:
        """Delete a track, its audio and its vectors; no search shows it afterwards."""
        self.send(calls.delete_track(track_id))

    def update_tracks(
        self, changes: Mapping[str, Any], **selection: Any
    ) -> library_schemas.BulkResult:
        """Change many tracks: `selection` is ids or filter, and dry_run, expected."""
        return self.send(calls.change_tracks("update", {"set": dict(changes), **selection}))

    def delete_tracks(self, **selection: Any) -> library_schemas.BulkResult:
        """Delete many tracks: `selection` is ids or filter, and dry_run, expected."""
        return self.send(calls.change_tracks("delete", selection))

    def passages(self, track_id: str, text: str | None = None) -> schemas.TrackPassages:
        """All passages of a track in order of time, scored where a text is given."""
        return self.send(calls.passages(track_id, text))

    def download(self, track_id: str, target: Path) -> int:
        """Write a track's audio file to `target`, whole or not at all; returns its bytes."""
        part = target.with_name(target.name + ".part")
        size = 0
        with self.http.stream("GET", f"/tracks/{track_id}/audio") as response:
            if not response.is_success:
                response.read()
                raise error_of(response)
            with part.open("wb") as file:
                for chunk in response.iter_bytes():
                    size += file.write(chunk)
        part.replace(target)
        return size

    # --- tags and vectors -----------------------------------------------------------------

    def tag_track(self, track_id: str, **options: Any) -> tag_schemas.TagResponse:
        """Score labels, groups or a vocabulary on a stored track, or on start_s to end_s of it."""
        return self.send(calls.tag(track_id, options, stored=True))

    def tag_audio(self, audio: Source, **options: Any) -> tag_schemas.TagResponse:
        """Score labels, groups or a vocabulary on a clip that is not kept."""
        return self.send(calls.tag(audio, options, stored=False))

    def track_tags(self, track_id: str, timeline: bool = False) -> tag_schemas.TrackTags:
        """The tags that a track was given when it was analysed."""
        return self.send(calls.track_tags(track_id, timeline))

    def vocabularies(self) -> tag_schemas.VocabularyList:
        """The current version of every stored vocabulary."""
        return self.send(calls.list_vocabularies())

    def vocabulary(self, name: str, version: int | None = None) -> tag_schemas.Vocabulary:
        """A stored vocabulary, or one version of it."""
        return self.send(calls.get_vocabulary(name, version))

    def save_vocabulary(self, name: str, content: Mapping[str, Any]) -> tag_schemas.SavedVocabulary:
        """Store a vocabulary; a change makes a new version."""
        return self.send(calls.save_vocabulary(name, content))

    def embed_texts(self, texts: Sequence[str]) -> schemas.EmbeddingResponse:
        """Unit vectors of texts."""
        return self.send(calls.embed_texts(texts))

    def embed_audio(self, audio: Source) -> schemas.AudioEmbeddingResponse:
        """Vectors of a clip that is not kept: one per ten seconds, and their mean."""
        return self.send(calls.embed_audio(audio))

    # --- jobs and imports -----------------------------------------------------------------

    def job(self, job_id: str) -> schemas.Job:
        """One job; raises NotFound."""
        return self.send(calls.get_job(job_id))

    def retry_job(self, job_id: str) -> schemas.Job:
        """Queue a failed or cancelled job again."""
        return self.send(calls.change_job(job_id, "retry"))

    def cancel_job(self, job_id: str) -> schemas.Job:
        """Cancel a job that has not ended."""
        return self.send(calls.change_job(job_id, "cancel"))

    def wait_for_job(
        self, job_id: str, on_change: Callable[[schemas.Job], Any] | None = None
    ) -> schemas.Job:
        """Wait until a job is done, failed or cancelled; `on_change` sees it every half second."""
        return self._wait(
            lambda: self.job(job_id), lambda job: job.state not in ("queued", "running"), on_change
        )

    def create_import(self, **body: Any) -> import_schemas.ImportCreated:
        """Begin a batch: source ("upload" or "folder"), folder, name, reference, webhook."""
        return self.send(calls.create_import(body))

    def get_import(self, import_id: str) -> import_schemas.Import:
        """A batch with its counts, speed and ETA."""
        return self.send(calls.get_import(import_id))

    def change_import(
        self, import_id: str, action: Literal["pause", "resume", "cancel", "close"]
    ) -> import_schemas.Import:
        """Pause, resume, cancel or close (nothing more will be sent) a batch."""
        return self.send(calls.change_import(import_id, action))

    def retry_import(self, import_id: str) -> import_schemas.RetryResult:
        """Try a batch's failed files again."""
        return self.send(calls.retry_import(import_id))

    def import_items(
        self, import_id: str, state: str | None = None
    ) -> Iterator[import_schemas.ImportItem]:
        """The files of a batch with what became of each, or those in one state."""
        cursor: str | None = None
        while True:
            page = self.send(calls.import_items(import_id, state=state, cursor=cursor))
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def wait_for_import(
        self, import_id: str, on_change: Callable[[import_schemas.Import], Any] | None = None
    ) -> import_schemas.Import:
        """Wait until a batch has ended (or is paused, and will not end by itself)."""
        return self._wait(
            lambda: self.get_import(import_id),
            lambda batch: batch.finished_at is not None or batch.state == "paused",
            on_change,
        )

    def events(self) -> Iterator[Event]:
        """What happens in the service, as it happens, for ever; goes on after a break."""
        lines = EventLines()
        while True:
            headers = {"Last-Event-ID": lines.last_id} if lines.last_id else {}
            try:
                with self.http.stream("GET", "/events", headers=headers) as response:
                    if not response.is_success:
                        response.read()
                        raise error_of(response)
                    for line in response.iter_lines():
                        event = lines.feed(line)
                        if event is not None:
                            yield event
            except httpx.TransportError:
                pass
            lines.broken()
            time.sleep(lines.retry_s)

    # --- operation ------------------------------------------------------------------------

    def ready(self) -> schemas.Health:
        """Whether everything that a search needs is there; raises Busy while it is not."""
        return self.send(calls.ready())

    def models(self) -> model_schemas.ModelList:
        """The models that are there, and which one is active."""
        return self.send(calls.list_models())

    def workers(self) -> worker_schemas.WorkerList:
        """Who analyses what is uploaded, and why nobody does where that is so."""
        return self.send(calls.list_workers())

    def index(self) -> schemas.IndexState:
        """How far the index is."""
        return self.send(calls.index_state())

    def check_index(self, action: Literal["verify", "repair"]) -> schemas.VerifyResult:
        """Compare the index with the database, and set it right if asked to repair."""
        return self.send(calls.check_index(action))

    def own_access(self) -> access_schemas.OwnAccess:
        """What this client's key allows."""
        return self.send(calls.own_access())

    def keys(self) -> Iterator[access_schemas.Key]:
        """All API keys, newest first."""
        wanted: dict[str, Any] = {}
        while True:
            page = self.send(calls.list_keys(**wanted))
            yield from page.items
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    def create_key(self, name: str, **options: Any) -> access_schemas.NewKey:
        """Make a key; its secret is in the answer and nowhere else. Options: scopes, expires_at."""
        return self.send(calls.create_key({"name": name, **options}))

    def revoke_key(self, key_id: str) -> None:
        """Make a key useless, for ever."""
        self.send(calls.revoke_key(key_id))

    def _wait(
        self,
        look: Callable[[], T],
        has_ended: Callable[[T], bool],
        on_change: Callable[[T], Any] | None,
    ) -> T:
        while True:
            state = look()
            if on_change is not None:
                on_change(state)
            if has_ended(state):
                return state
            time.sleep(POLL_S)
