"""Every call of the API as a value: what to send and what comes back. No network here.

Both clients turn these into requests, so that they cannot differ. Answers are read into the
service's own wire types; fields that a newer service adds are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from muquery.client.parts import Clip, Part, as_parts, wire_part
from service.api import access_schemas as access
from service.api import import_schemas as imports
from service.api import library_schemas as library
from service.api import model_schemas as models
from service.api import schemas
from service.api import tag_schemas as tags
from service.api import worker_schemas as workers

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Filter = Mapping[str, Any]
Mode = Literal["semantic", "keyword", "hybrid"]
Level = Literal["track", "passage"]
Source = str | Path | IO[bytes]
"""An audio file: its path, or an open binary file."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request; `files` maps a form's field to the file that it carries."""

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Source] = field(default_factory=dict)
    unhurried: bool = False
    """Whether the answer may take hours, as that to a whole library's embeddings."""

    @property
    def idempotent(self) -> bool:
        """Whether sending it twice does what sending it once does."""
        return self.method in ("GET", "PUT", "DELETE") or self.path == "/search"


def _reader(kind: type[M]) -> Callable[[bytes], M]:
    return lambda content: kind.model_validate_json(content, extra="ignore")


def _nothing(_content: bytes) -> None:
    return None


def _given(**values: Any) -> dict[str, Any]:
    """Leave out what was not given; a filter becomes JSON text, as addresses carry it."""
    return {
        name: json.dumps(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }


@dataclass(frozen=True)
class SearchWish:
    """How to search, beside the query itself; see POST /search in the API's description."""

    filter: Filter | None = None
    mode: Mode = "semantic"
    level: Level = "track"
    limit: int = 20
    cursor: str | None = None
    passages: int = 3
    min_relevance: float | None = None
    max_per: Mapping[str, int] | None = None
    collapse_duplicates: bool = False

    def body(self) -> dict[str, Any]:
        """The wish as the fields of a request."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}


def search(
    query: str | Part | Sequence[str | Part], wish: SearchWish
) -> Call[schemas.SearchResponse]:
    parts = as_parts(query)
    clips = [part for part in parts if isinstance(part, Clip)]
    named = {f"clip{number}": clip.audio for number, clip in enumerate(clips)}
    names = iter(named)
    wired = [wire_part(p, next(names) if isinstance(p, Clip) else None) for p in parts]
    body = {"query": wired, **wish.body()}
    read = _reader(schemas.SearchResponse)
    if not clips:
        return Call("POST", "/search", read, json=body)
    return Call("POST", "/search", read, form={"request": json.dumps(body)}, files=named)


def upload(
    audio: Source, metadata: Mapping[str, Any], import_id: str | None, name: str | None
) -> Call[schemas.UploadResult]:
    form = {"metadata": json.dumps(dict(metadata))} if metadata else {}
    params = _given(import_id=import_id, path=name)
    return Call(
        "POST", "/tracks", _reader(schemas.UploadResult), params, form=form, files={"file": audio}
    )


def list_tracks(**wanted: Any) -> Call[schemas.TrackPage]:
    return Call("GET", "/tracks", _reader(schemas.TrackPage), _given(**wanted))


def get_track(track_id: str) -> Call[schemas.Track]:
    return Call("GET", f"/tracks/{track_id}", _reader(schemas.Track))


def edit_track(track_id: str, changes: Mapping[str, Any]) -> Call[schemas.Track]:
    return Call("PATCH", f"/tracks/{track_id}", _reader(schemas.Track), json=dict(changes))


def delete_track(track_id: str) -> Call[None]:
    return Call("DELETE", f"/tracks/{track_id}", _nothing)


def change_tracks(
    action: Literal["update", "delete"], body: Mapping[str, Any]
) -> Call[library.BulkResult]:
    sent = {name: value for name, value in body.items() if value is not None}
    return Call("POST", f"/tracks/bulk/{action}", _reader(library.BulkResult), json=sent)


def passages(track_id: str, text: str | None) -> Call[schemas.TrackPassages]:
    return Call(
        "GET", f"/tracks/{track_id}/passages", _reader(schemas.TrackPassages), _given(q=text)
    )


def track_tags(track_id: str, timeline: bool) -> Call[tags.TrackTags]:
    params = _given(timeline=timeline or None)
    return Call("GET", f"/tracks/{track_id}/tags", _reader(tags.TrackTags), params)


def tag(target: str | Source, options: Mapping[str, Any], stored: bool) -> Call[tags.TagResponse]:
    sent = {name: value for name, value in options.items() if value is not None}
    read = _reader(tags.TagResponse)
    if stored:
        return Call("POST", "/tags", read, json={"track_id": target, **sent})
    return Call("POST", "/tags/audio", read, form={"options": json.dumps(sent)},
                files={"file": target})  # fmt: skip


def facets(
    fields: Sequence[str], wanted: Filter | None, text: str | None, limit: int
) -> Call[library.FacetList]:
    params = _given(fields=",".join(fields), filter=wanted, q=text, limit=limit)
    return Call("GET", "/facets", _reader(library.FacetList), params)


def embed_texts(texts: Sequence[str]) -> Call[schemas.EmbeddingResponse]:
    read = _reader(schemas.EmbeddingResponse)
    return Call("POST", "/embeddings", read, json={"texts": list(texts)})


def embed_audio(audio: Source) -> Call[schemas.AudioEmbeddingResponse]:
    read = _reader(schemas.AudioEmbeddingResponse)
    return Call("POST", "/embeddings/audio", read, files={"file": audio})


def list_jobs(**wanted: Any) -> Call[schemas.JobPage]:
    return Call("GET", "/jobs", _reader(schemas.JobPage), _given(**wanted))


def get_job(job_id: str) -> Call[schemas.Job]:
    return Call("GET", f"/jobs/{job_id}", _reader(schemas.Job))


def change_job(job_id: str, action: Literal["retry", "cancel"]) -> Call[schemas.Job]:
    return Call("POST", f"/jobs/{job_id}/{action}", _reader(schemas.Job))


def create_import(body: Mapping[str, Any]) -> Call[imports.ImportCreated]:
    sent = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/imports", _reader(imports.ImportCreated), json=sent)


def list_imports(**wanted: Any) -> Call[imports.ImportPage]:
    return Call("GET", "/imports", _reader(imports.ImportPage), _given(**wanted))


def get_import(import_id: str) -> Call[imports.Import]:
    return Call("GET", f"/imports/{import_id}", _reader(imports.Import))


def change_import(
    import_id: str, action: Literal["pause", "resume", "cancel", "close"]
) -> Call[imports.Import]:
    return Call("POST", f"/imports/{import_id}/{action}", _reader(imports.Import))


def retry_import(import_id: str) -> Call[imports.RetryResult]:
    return Call("POST", f"/imports/{import_id}/retry", _reader(imports.RetryResult))


def import_items(import_id: str, **wanted: Any) -> Call[imports.ImportItemPage]:
    path = f"/imports/{import_id}/items"
    return Call("GET", path, _reader(imports.ImportItemPage), _given(**wanted))


def list_vocabularies() -> Call[tags.VocabularyList]:
    return Call("GET", "/vocabularies", _reader(tags.VocabularyList))


def get_vocabulary(name: str, version: int | None) -> Call[tags.Vocabulary]:
    return Call("GET", f"/vocabularies/{name}", _reader(tags.Vocabulary), _given(version=version))


def save_vocabulary(name: str, content: Mapping[str, Any]) -> Call[tags.SavedVocabulary]:
    read = _reader(tags.SavedVocabulary)
    return Call("PUT", f"/vocabularies/{name}", read, json=dict(content))


def list_models() -> Call[models.ModelList]:
    return Call("GET", "/models", _reader(models.ModelList))


def list_workers() -> Call[workers.WorkerList]:
    return Call("GET", "/workers", _reader(workers.WorkerList))


def index_state() -> Call[schemas.IndexState]:
    return Call("GET", "/index", _reader(schemas.IndexState))


def check_index(action: Literal["verify", "repair"]) -> Call[schemas.VerifyResult]:
    return Call("POST", f"/index/{action}", _reader(schemas.VerifyResult))


def own_access() -> Call[access.OwnAccess]:
    return Call("GET", "/keys/own", _reader(access.OwnAccess))


def list_keys(**wanted: Any) -> Call[access.KeyPage]:
    return Call("GET", "/keys", _reader(access.KeyPage), _given(**wanted))


def create_key(body: Mapping[str, Any]) -> Call[access.NewKey]:
    sent = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/keys", _reader(access.NewKey), json=sent)


def revoke_key(key_id: str) -> Call[None]:
    return Call("DELETE", f"/keys/{key_id}", _nothing)


def ready() -> Call[schemas.Health]:
    return Call("GET", "/health/ready", _reader(schemas.Health))
