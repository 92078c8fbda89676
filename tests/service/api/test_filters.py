"""Filters, facets and bulk changes over HTTP, on both databases."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from service.api.app import create_app
from service.database.tables import TagLabel, TagValue, Track
from service.runtime import build_services
from tests.service.api.conftest import Running
from tests.support.encoder import FakeEncoder
from tests.support.service import (
    API,
    make_settings,
    running_service,
    upload,
    wait_for_index,
    wait_for_job,
)

METADATA: dict[str, dict[str, Any]] = {
    "low": {"title": "Étude", "artist": "Björk", "genre": "Jazz", "year": 1990,
            "extra": {"bpm": 60, "moods": ["calm", "dark"]}},
    "middle": {"title": "b", "artist": "BJORK", "genre": "jazz", "year": 2001,
               "extra": {"bpm": 120, "moods": ["calm"], "ok": True}},
    "high": {"title": "C", "genre": "Rock", "extra": {"bpm": "fast"}},
}  # fmt: skip


@pytest.fixture
def library(running_anywhere: Running, tones: dict[str, Path]) -> tuple[Running, dict[str, str]]:
    """Three analysed tracks with metadata, and their ids."""
    ids = {}
    client = running_anywhere.client
    for name, metadata in METADATA.items():
        answer = upload(client, tones[name], metadata=json.dumps(metadata)).json()
        wait_for_job(client, answer["job"]["id"])
        ids[name] = answer["track"]["id"]
    wait_for_index(client)
    return running_anywhere, ids


def names_of(items: list[dict[str, Any]], ids: dict[str, str]) -> list[str]:
    by_id = {one: name for name, one in ids.items()}
    return [by_id[(item.get("track") or item)["id"]] for item in items]


JAZZ = {"field": "genre", "eq": "JAZZ"}


def test_a_filter_everywhere(
    library: tuple[Running, dict[str, str]], tones: dict[str, Path]
) -> None:
    running, ids = library
    client = running.client
    text = json.dumps(JAZZ)
    posted = client.post(f"{API}/search", json={"query": [{"text": "high"}], "filter": JAZZ})
    assert sorted(names_of(posted.json()["items"], ids)) == ["low", "middle"]
    got = client.get(f"{API}/search", params={"q": "high", "filter": text})
    assert names_of(got.json()["items"], ids) == names_of(posted.json()["items"], ids)
    passages = client.post(
        f"{API}/search",
        json={"query": [{"text": "high"}], "filter": JAZZ, "level": "passage"},
    )
    assert set(names_of(passages.json()["items"], ids)) == {"low", "middle"}
    with tones["high"].open("rb") as file:
        heard = client.post(
            f"{API}/search/audio",
            files={"file": ("high.flac", file)},
            data={"options": json.dumps({"filter": {"not": JAZZ}})},
        )
    assert names_of(heard.json()["items"], ids) == ["high"]
    for parameters, expected in (
        ({"filter": text, "sort": "title"}, ["middle", "low"]),
        ({"filter": text, "sort": "-title"}, ["low", "middle"]),
        ({"sort": "genre"}, ["low", "middle", "high"]),
        ({"sort": "-year"}, ["middle", "low", "high"]),
        ({"artist": "bjórk", "sort": "year"}, ["low", "middle"]),
        ({"filter": json.dumps({"field": "extra.moods", "eq": "dark"})}, ["low"]),
        ({"filter": json.dumps({"field": "extra.bpm", "range": {"gt": 60}})}, ["middle"]),
        (
            {"filter": json.dumps({"field": "extra.ok", "ne": True}), "sort": "title"},
            ["high", "low"],
        ),
    ):
        page = client.get(f"{API}/tracks", params=parameters).json()
        assert names_of(page["items"], ids) == expected
        assert page["total"] == len(expected)
    first = client.get(f"{API}/tracks", params={"sort": "artist", "limit": 1}).json()
    assert names_of(first["items"], ids) == ["low"]
    rest = client.get(
        f"{API}/tracks", params={"sort": "artist", "limit": 5, "cursor": first["next_cursor"]}
    ).json()
    assert names_of(rest["items"], ids) == ["middle", "high"]


def test_facets(library: tuple[Running, dict[str, str]]) -> None:
    client = library[0].client
    answer = client.get(
        f"{API}/facets",
        params={
            "fields": "genre,extra.bpm,extra.ok,year,added_at",
            "field": ["extra.moods"],
            "filter": json.dumps(JAZZ),
        },
    )
    genre, bpm, ok, year, added, moods = answer.json()["items"]
    assert genre["values"] == [{"value": "Jazz", "count": 2}, {"value": "Rock", "count": 1}]
    assert (genre["missing"], genre["other"], genre["distinct"]) == (0, 0, 2)
    assert bpm["values"] == [{"value": 60, "count": 1}, {"value": 120, "count": 1}]
    assert (bpm["min"], bpm["max"]) == (60, 120)
    assert ok["values"] == [{"value": True, "count": 1}]
    assert ok["missing"] == 1
    assert (year["min"], year["max"]) == (1990, 2001)
    assert added["min"] <= added["max"]
    assert added["min"].endswith("Z")
    assert moods["values"] == [{"value": "calm", "count": 2}, {"value": "dark", "count": 1}]
    fields = {item["name"]: item for item in client.get(f"{API}/fields").json()["items"]}
    assert fields["extra.bpm"]["types"] == ["number", "text"]
    assert fields["extra.bpm"]["tracks"] == 3
    for item in genre["values"]:
        again = {"field": "genre", "eq": item["value"]}
        page = client.get(f"{API}/tracks", params={"filter": json.dumps(again)}).json()
        assert page["total"] == item["count"], "a value of a facet is fit for a filter"


def test_tags_can_be_filtered_and_counted(library: tuple[Running, dict[str, str]]) -> None:
    running, _ = library
    client = running.client
    first_of_group = select(func.min(TagLabel.pk)).group_by(TagLabel.group_name)
    with running.services.database.write() as session:
        # The fake encoder finds no label likely enough to be given.
        two = select(Track.pk).order_by(Track.pk).limit(2)
        given = update(TagValue).where(
            TagValue.label_pk.in_(first_of_group), TagValue.track_pk.in_(two)
        )
        session.execute(given.values(assigned=True))
    names = [item["name"] for item in client.get(f"{API}/fields").json()["items"]]
    groups = [name for name in names if name.startswith("tags.")]
    assert groups, "each track is tagged with the default vocabulary"
    facets = client.get(f"{API}/facets", params={"field": groups}).json()["items"]
    counted = 0
    for facet in facets:
        for item in facet["values"]:
            wanted = json.dumps({"field": facet["field"], "eq": item["value"]})
            page = client.get(f"{API}/tracks", params={"filter": wanted}).json()
            assert page["total"] == item["count"]
            counted += 1
        no_tag = json.dumps({"field": facet["field"], "exists": False})
        page = client.get(f"{API}/tracks", params={"filter": no_tag}).json()
        assert page["total"] == facet["missing"]
    assert counted


def test_bulk_changes(library: tuple[Running, dict[str, str]]) -> None:
    running, ids = library
    client = running.client
    wanted = {"filter": JAZZ, "set": {"genre": "Bebop", "extra": {"ok": False, "bpm": None}}}
    dry = client.post(f"{API}/tracks/bulk/update", json=wanted | {"dry_run": True}).json()
    assert dry == {"matched": 2, "changed": 0, "missing": [], "too_large": [], "dry_run": True}
    done = client.post(f"{API}/tracks/bulk/update", json=wanted | {"expected": 2}).json()
    assert (done["matched"], done["changed"]) == (2, 2)
    track = client.get(f"{API}/tracks/{ids['middle']}").json()
    assert (track["genre"], track["extra"]) == ("Bebop", {"moods": ["calm"], "ok": False})
    again = client.post(f"{API}/tracks/bulk/update", json=wanted | {"expected": 2})
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "selection_changed"

    gone = {"ids": [ids["low"], ids["high"], "0" * 26], "expected": 2}
    assert client.post(f"{API}/tracks/bulk/delete", json=gone).json() == {
        "matched": 2, "changed": 2, "missing": ["0" * 26], "too_large": [], "dry_run": False,
    }  # fmt: skip
    found = client.post(f"{API}/search", json={"query": [{"text": "low"}]}).json()
    assert names_of(found["items"], ids) == ["middle"]
    for name in ("low", "high"):
        assert client.get(f"{API}/tracks/{ids[name]}/audio").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("update", {"set": {"title": "x"}}),
        ("update", {"ids": ["0" * 26], "filter": JAZZ, "set": {"title": "x"}}),
        ("update", {"ids": [], "set": {"title": "x"}}),
        ("update", {"ids": ["0" * 26], "set": {}}),
        ("update", {"ids": ["0" * 26], "set": {"sha256": "x"}}),
        ("update", {"ids": ["0" * 26]}),
        ("delete", {}),
        ("delete", {"filter": None}),
        ("delete", {"q": ""}),
        ("delete", {"q": "a\u0000"}),
        ("delete", {"filter": JAZZ, "expected": -1}),
    ],
)
def test_a_bulk_change_says_exactly_what_and_which(
    idle: Running, path: str, body: dict[str, Any]
) -> None:
    answer = idle.client.post(f"{API}/tracks/bulk/{path}", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_request"


def test_a_wrong_filter_is_refused_everywhere_alike(idle: Running) -> None:
    client = idle.client
    wrong: Any = {"and": [JAZZ, {"field": "year", "range": {"gte": "x"}}]}
    text = json.dumps(wrong)
    answers = [
        client.post(f"{API}/search", json={"query": [{"text": "low"}], "filter": wrong}),
        client.get(f"{API}/search", params={"q": "low", "filter": text}),
        client.post(
            f"{API}/search/audio",
            files={"file": ("a.wav", b"RIFF")},
            data={"options": json.dumps({"filter": wrong})},
        ),
        client.get(f"{API}/tracks", params={"filter": text}),
        client.get(f"{API}/facets", params={"fields": "genre", "filter": text}),
        client.post(f"{API}/tracks/bulk/delete", json={"filter": wrong}),
        client.post(f"{API}/tracks/bulk/update", json={"filter": wrong, "set": {"title": "x"}}),
    ]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        error = answer.json()["error"]
        assert error["code"] == "invalid_filter"
        assert error["details"] == {
            "path": "filter.and[1].range.gte",
            "problem": "expects a number",
        }
    for parameters in ({"fields": "odd"}, {"field": "extra."}):
        answer = client.get(f"{API}/facets", params=parameters)
        assert answer.json()["error"]["code"] == "invalid_field"
    for parameters in ({}, {"fields": ",,"}, {"fields": ",".join(f"extra.{i}" for i in range(21))}):
        answer = client.get(f"{API}/facets", params=parameters)
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "invalid_request"


def test_a_filter_can_do_no_harm(idle: Running) -> None:
    """Hostile text ends as a text that no track has, or as a 422; never as an error of ours."""
    client = idle.client
    for value in (
        "' OR 1=1 --",
        '"; DROP TABLE tracks;',
        "%",
        "_",
        "\\",
        "\ud800",
        "\x00",
        "🎷" * 400,
    ):
        for field in ("genre", "extra." + value[:50], "tags." + value[:50], "extra.a"):
            for wanted in ({"field": field, "eq": value}, {"not": {"field": field, "in": [value]}}):
                body = json.dumps({"filter": wanted, "dry_run": True})
                answer = client.post(
                    f"{API}/tracks/bulk/delete",
                    content=body,
                    headers={"content-type": "application/json"},
                )
                assert answer.status_code in (200, 422), answer.text
    for text in ("[" * 10_000, '{"not":' * 2_000, "nan", "1e999", '{"field":"year","eq":1e999}'):
        answer = client.get(f"{API}/tracks", params={"filter": text})
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "invalid_filter"


def test_what_was_tagged_is_told_while_the_model_loads(
    tmp_path: Path, sqlite_url: str, tones: dict[str, Path]
) -> None:
    settings = make_settings(tmp_path / "data", sqlite_url)
    with running_service(settings) as (client, _):
        job = upload(client, tones["low"]).json()["job"]
        assert wait_for_job(client, job["id"])["state"] == "done"
        told = client.get(f"{API}/fields").json()
    loads = threading.Event()

    def load() -> FakeEncoder:
        loads.wait()
        return FakeEncoder()

    services = build_services(settings, load)
    with TestClient(create_app(settings, services), base_url="http://127.0.0.1") as client:
        try:
            assert client.get(f"{API}/search", params={"q": "low"}).status_code == 503
            assert client.get(f"{API}/fields").json() == told
            name = next(x["name"] for x in told["items"] if x["name"].startswith("tags."))
            facets = client.get(f"{API}/facets", params={"fields": name})
            assert facets.json()["items"][0]["field"] == name
            wanted = json.dumps({"not": {"field": name, "exists": True}})
            assert client.get(f"{API}/tracks", params={"filter": wanted}).json()["total"] == 1
        finally:
            loads.set()
