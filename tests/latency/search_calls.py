"""Every way to search: what is asked, how it is ranked, behind which filter, which page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.latency.call import Call, Caller, Request

Parts = Callable[[Caller], list[dict[str, Any]]]

FILTERS: Mapping[str, Mapping[str, Any]] = {
    "one artist": {"field": "artist", "eq": "{artist}"},
    "one genre": {"field": "genre", "eq": "Jazz"},
    "a tag": {"field": "tags.mood", "eq": "calm"},
    "a tag above 0.3": {"field": "tags.mood.calm", "range": {"gt": 0.3}},
    "ten years": {"field": "year", "range": {"gte": 1990, "lt": 2000}},
    "own number": {"field": "extra.bpm", "range": {"gte": 118, "lte": 122}},
    "own true or false": {"field": "extra.cleared", "eq": True},
    "all but a genre": {"field": "genre", "ne": "Jazz"},
    "four together": {
        "and": [
            {"field": "genre", "in": ["Rock", "Pop", "Jazz"]},
            {"field": "year", "range": {"gte": 1980}},
            {"field": "extra.moods", "eq": "calm"},
            {"not": {"field": "tags.voice", "exists": True}},
        ]
    },
}
"""From the narrowest to the widest, and a mix."""

WORDS = {
    "one common word": "night",
    "three words": "blue river waltz",
    "the start of a word": "sona",
    "a sentence": "calm piano with a strong beat in the rain at night",
    "no track's word": "xylorimba",
}


def filter_of(name: str, caller: Caller) -> Any:
    """A filter as it is sent; that of one artist names another one each time."""
    text = json.dumps(FILTERS[name])
    return json.loads(
        text.replace('"{artist}"', json.dumps(caller.chance.choice(caller.facts.artists)))
    )


def _new_text(caller: Caller) -> list[dict[str, Any]]:
    return [{"text": caller.text()}]


def _known_text(_caller: Caller) -> list[dict[str, Any]]:
    return [{"text": "calm piano at night"}]


def _track(caller: Caller) -> list[dict[str, Any]]:
    return [{"track_id": caller.track_id()}]


def _span(caller: Caller) -> list[dict[str, Any]]:
    return [{"track_id": caller.track_id(), "start_s": 0, "end_s": 15}]


def _mix(caller: Caller) -> list[dict[str, Any]]:
    return [
        {"text": caller.text()},
        {"track_id": caller.track_id(), "weight": 0.5},
        {"text": caller.text(), "weight": -0.5},
    ]


def _search(parts: Parts, **options: Any) -> Callable[[Caller], Request]:
    return lambda caller: Request("POST", "/search", {"json": {"query": parts(caller), **options}})


def _filtered(name: str, parts: Parts = _new_text, **options: Any) -> Callable[[Caller], Request]:
    def make(caller: Caller) -> Request:
        body = {"query": parts(caller), "filter": filter_of(name, caller), **options}
        return Request("POST", "/search", {"json": body})

    return make


def _page(number: int, **options: Any) -> Callable[[Caller], Request]:
    """A page of an answer whose earlier pages were read before."""

    def make(caller: Caller) -> Request:
        body = {"query": _known_text(caller), **options}

        def cursor() -> str:
            found: dict[str, Any] = {}
            for _ in range(number - 1):
                after = {"cursor": found["next_cursor"]} if found else {}
                found = caller.do("POST", "/search", json={**body, **after})
            return str(found["next_cursor"])

        key = f"page {number} {options}"
        return Request("POST", "/search", {"json": {**body, "cursor": caller.kept(key, cursor)}})

    return make


def _words(text: str, mode: str, **options: Any) -> Callable[[Caller], Request]:
    return lambda _caller: Request(
        "POST", "/search", {"json": {"query": [{"text": text}], "mode": mode, **options}}
    )


def _with_clip(caller: Caller) -> Request:
    body = {"query": [{"clip": "mine"}, {"text": caller.text(), "weight": 0.5}]}
    return Request(
        "POST",
        "/search",
        {"data": {"request": json.dumps(body)}, "files": {"mine": ("a.wav", caller.sound())}},
    )


def _audio(caller: Caller) -> Request:
    return Request("POST", "/search/audio", {"files": {"file": ("a.wav", caller.sound())}})


def _with_key(caller: Caller) -> Request:
    def make() -> str:
        return str(caller.do("POST", "/keys", json={"name": "bench"})["secret"])

    headers = {"Authorization": f"Bearer {caller.kept('key', make)}"}
    return Request("POST", "/search", {"json": {"query": _known_text(caller)}, "headers": headers})


def search_calls() -> Iterator[Call]:
    """All of them, the plainest first."""
    for name, make in {
        "a text never asked before": _search(_new_text),
        "a text asked before": _search(_known_text),
        "the same, with a key": _with_key,
        "like a track": _search(_track),
        "like 15 s of a track": _search(_span),
        "a text, a track, and not another text": _search(_mix),
        "a clip of 10 s and a text": _with_clip,
        "no passages": _search(_known_text, passages=0),
        "100 hits": _search(_known_text, limit=100),
        "page 2": _page(2),
        "page 10": _page(10),
        "min_relevance 0.9": _search(_new_text, min_relevance=0.9),
        "passages, not tracks": _search(_new_text, level="passage"),
        "passages, 100 hits": _search(_known_text, level="passage", limit=100),
        "passages, page 10": _page(10, level="passage"),
        "2 per artist": _search(_new_text, max_per={"artist": 2}),
        "2 per artist, page 5": _page(5, max_per={"artist": 2}),
        "copies once": _search(_new_text, collapse_duplicates=True),
        "1 per artist and album, copies once": _search(
            _new_text, max_per={"artist": 1, "album": 1}, collapse_duplicates=True
        ),
        "passages, 1 per artist, copies once": _search(
            _new_text, level="passage", max_per={"artist": 1}, collapse_duplicates=True
        ),
    }.items():
        yield Call("POST /search", name, make)
    for name in FILTERS:
        yield Call("POST /search", f"filter: {name}", _filtered(name))
    for name in FILTERS:
        yield Call("POST /search", f"passages, filter: {name}", _filtered(name, level="passage"))
    for name, text in WORDS.items():
        yield Call("POST /search", f"by words: {name}", _words(text, "keyword"))
    yield Call(
        "POST /search", "by words, filter: ten years",
        _filtered("ten years", lambda _: [{"text": "blue river waltz"}], mode="keyword"),
    )  # fmt: skip
    yield Call("POST /search", "hybrid: two words", _words("bach cello", "hybrid"))
    yield Call("POST /search", "hybrid: a new sentence", _search(_new_text, mode="hybrid"))
    yield Call("POST /search", "hybrid, page 5", _page(5, mode="hybrid"))
    yield Call(
        "POST /search", "hybrid, filter: four together", _filtered("four together", mode="hybrid")
    )
    yield Call(
        "POST /search", "hybrid, passages", _search(_new_text, mode="hybrid", level="passage")
    )
    yield Call(
        "GET /search", "a text never asked before",
        lambda caller: Request("GET", "/search", {"params": {"q": caller.text()}}),
    )  # fmt: skip
    yield Call("POST /search/audio", "a clip of 10 s", _audio)
