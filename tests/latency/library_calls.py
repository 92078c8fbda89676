"""Tracks, their tags and their counts: looked at, changed, added, deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.latency.call import Call, Caller, Request
from tests.latency.search_calls import FILTERS, filter_of

SHOWN_FIELDS = (
    "genre,artist,album,year,duration_s,added_at,extra.bpm,extra.moods,tags.mood,tags.use"
)
FEW_LABELS = ["calm", "dark", "solo piano", "heavy guitar", "female voice"]


def _list(**params: Any) -> Callable[[Caller], Request]:
    return lambda _caller: Request("GET", "/tracks", {"params": params})


def _list_page(number: int, **params: Any) -> Callable[[Caller], Request]:
    def make(caller: Caller) -> Request:
        def cursor() -> str:
            found: dict[str, Any] = {}
            for _ in range(number - 1):
                after = {"cursor": found["next_cursor"]} if found else {}
                found = caller.do("GET", "/tracks", params={**params, **after})
            return str(found["next_cursor"])

        kept = caller.kept(f"tracks {number} {params}", cursor)
        return Request("GET", "/tracks", {"params": {**params, "cursor": kept}})

    return make


def _list_filtered(name: str) -> Callable[[Caller], Request]:
    return lambda caller: Request(
        "GET", "/tracks", {"params": {"filter": json.dumps(filter_of(name, caller))}}
    )


def _of_track(ending: str = "", **options: Any) -> Callable[[Caller], Request]:
    return lambda caller: Request("GET", f"/tracks/{caller.track_id()}{ending}", options)


def _by_hash(caller: Caller) -> Request:
    def make() -> str:
        return str(caller.do("GET", f"/tracks/{caller.track_id()}")["sha256"])

    return Request("GET", "/tracks", {"params": {"sha256": caller.kept("sha256", make)}})


def _range(caller: Caller) -> Request:
    headers = {"Range": "bytes=100000-165535"}
    return Request("GET", f"/tracks/{caller.audio_id()}/audio", {"headers": headers})


def _edit(values: Callable[[Caller], dict[str, Any]]) -> Callable[[Caller], Request]:
    return lambda caller: Request(
        "PATCH", f"/tracks/{caller.spare_ids(1)[0]}", {"json": values(caller)}
    )


def _bulk_update(count: int) -> Callable[[Caller], Request]:
    def make(caller: Caller) -> Request:
        chosen = {"ids": caller.spare_ids(count), "set": {"licence": f"no. {caller.number()}"}}
        return Request("POST", "/tracks/bulk/update", {"json": chosen})

    return make


def _bulk_count(caller: Caller) -> Request:
    body = {"filter": filter_of("one artist", caller), "set": {"year": 2000}, "dry_run": True}
    return Request("POST", "/tracks/bulk/update", {"json": body})


def _upload(caller: Caller) -> Request:
    metadata = json.dumps({"title": f"Upload {caller.number()}", "artist": "Bench"})
    files = {"file": ("a.wav", caller.sound())}
    return Request("POST", "/tracks", {"files": files, "data": {"metadata": metadata}})


def _upload_again(caller: Caller) -> Request:
    sound = caller.kept("sound", caller.sound)

    def first() -> Any:
        return caller.do("POST", "/tracks", files={"file": ("a.wav", sound)})

    caller.kept("uploaded", first)
    return Request("POST", "/tracks", {"files": {"file": ("a.wav", sound)}})


def _facets(fields: str, filter_: str | None = None) -> Callable[[Caller], Request]:
    def make(caller: Caller) -> Request:
        given = {} if filter_ is None else {"filter": json.dumps(filter_of(filter_, caller))}
        return Request("GET", "/facets", {"params": {"fields": fields, **given}})

    return make


def _tags(question: dict[str, Any]) -> Callable[[Caller], Request]:
    return lambda caller: Request(
        "POST", "/tags", {"json": {"track_id": caller.track_id(), **question}}
    )


def _new_labels(caller: Caller) -> Request:
    labels = [caller.text() for _ in range(5)]
    return Request("POST", "/tags", {"json": {"track_id": caller.track_id(), "labels": labels}})


def _tags_audio(caller: Caller) -> Request:
    options = {"options": json.dumps({"vocabulary": "standard"})}
    return Request(
        "POST", "/tags/audio", {"files": {"file": ("a.wav", caller.sound())}, "data": options}
    )


def _distribution(label: Callable[[Caller], str]) -> Callable[[Caller], Request]:
    return lambda caller: Request(
        "GET",
        "/vocabularies/standard/distribution",
        {"params": {"group": "mood", "label": label(caller)}},
    )


def library_reads() -> Iterator[Call]:
    """What changes nothing."""
    for name, make in {
        "first page": _list(),
        "200 tracks": _list(limit=200),
        "page 10": _list_page(10),
        "by title": _list(sort="title"),
        "by title, page 10": _list_page(10, sort="title"),
        "by artist": _list(sort="artist"),
        "by year, newest first": _list(sort="-year"),
        "by duration": _list(sort="duration_s"),
        "q: in any name": _list(q="river"),
        "failed ones": _list(state="failed"),
        "by hash": _by_hash,
    }.items():
        yield Call("GET /tracks", name, make)
    for name in FILTERS:
        yield Call("GET /tracks", f"filter: {name}", _list_filtered(name))
    yield Call("GET /tracks/{track_id}", "one track", _of_track())
    yield Call("GET /tracks/{track_id}/waveform", "its peaks", _of_track("/waveform"))
    yield Call("GET /tracks/{track_id}/passages", "its passages", _of_track("/passages"))
    yield Call(
        "GET /tracks/{track_id}/passages", "scored by a new text",
        lambda caller: _of_track("/passages", params={"q": caller.text()})(caller),
    )  # fmt: skip
    yield Call("GET /tracks/{track_id}/tags", "stored tags", _of_track("/tags"))
    yield Call(
        "GET /tracks/{track_id}/tags", "with a timeline",
        _of_track("/tags", params={"timeline": True}),
    )  # fmt: skip
    yield Call(
        "GET /tracks/{track_id}/audio", "1.4 MB",
        lambda caller: Request("GET", f"/tracks/{caller.audio_id()}/audio"),
    )  # fmt: skip
    yield Call("GET /tracks/{track_id}/audio", "a range of 64 KB", _range)
    for field in SHOWN_FIELDS.split(","):
        yield Call("GET /facets", field, _facets(field))
    yield Call("GET /facets", "ten fields at once", _facets(SHOWN_FIELDS))
    for filter_ in ("ten years", "one genre", "four together"):
        yield Call("GET /facets", f"ten fields, filter: {filter_}", _facets(SHOWN_FIELDS, filter_))
    yield Call("GET /fields", "all", lambda _: Request("GET", "/fields"))


def tag_reads() -> Iterator[Call]:
    yield Call("POST /tags", "5 labels asked before", _tags({"labels": FEW_LABELS}))
    yield Call("POST /tags", "5 new labels", _new_labels)
    yield Call("POST /tags", "the standard vocabulary", _tags({"vocabulary": "standard"}))
    yield Call(
        "POST /tags", "the same along time", _tags({"vocabulary": "standard", "timeline": True})
    )
    yield Call("POST /tags/audio", "a clip of 10 s", _tags_audio)
    yield Call("GET /vocabularies", "all", lambda _: Request("GET", "/vocabularies"))
    yield Call(
        "GET /vocabularies/{name}", "the standard one",
        lambda _: Request("GET", "/vocabularies/standard"),
    )  # fmt: skip
    yield Call(
        "GET /vocabularies/{name}/distribution", "a label of it", _distribution(lambda _: "calm")
    )
    yield Call(
        "GET /vocabularies/{name}/distribution", "a new label",
        _distribution(lambda caller: caller.text()),
    )  # fmt: skip


def library_writes() -> Iterator[Call]:
    """What changes tracks; no other call asks for those that are changed."""
    yield Call(
        "PATCH /tracks/{track_id}", "its title",
        _edit(lambda caller: {"title": f"Edited {caller.number()}"}),
    )  # fmt: skip
    yield Call(
        "PATCH /tracks/{track_id}", "its own metadata",
        _edit(lambda caller: {"extra": {"bpm": caller.number(), "moods": ["calm", "new"]}}),
    )  # fmt: skip
    yield Call("POST /tracks/bulk/update", "one artist's, only counted", _bulk_count)
    for count, rounds in ((10, None), (100, None), (1_000, 5), (10_000, 1)):
        yield Call("POST /tracks/bulk/update", f"{count:,} tracks", _bulk_update(count), rounds)
    yield Call("POST /tracks", "a WAV of 10 s", _upload)
    yield Call("POST /tracks", "the same bytes again", _upload_again)
    yield Call(
        "DELETE /tracks/{track_id}", "one track",
        lambda caller: Request("DELETE", f"/tracks/{caller.spare_ids(1)[0]}"),
    )  # fmt: skip
    for count, rounds in ((100, 5), (1_000, 1)):
        yield Call(
            "POST /tracks/bulk/delete", f"{count:,} tracks",
            lambda caller, count=count: Request(
                "POST", "/tracks/bulk/delete", {"json": {"ids": caller.spare_ids(count)}}
            ),
            rounds,
        )  # fmt: skip
