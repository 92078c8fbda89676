"""Modes, reasons, limits and clips of a search, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.service.api.conftest import Running
from tests.support.audio import write_audio
from tests.support.encoder import SAMPLE_RATE_HZ, FakeEncoder, tone
from tests.support.service import (
    API,
    make_settings,
    running_service,
    upload,
    wait_for_index,
    wait_for_job,
)

METADATA = {
    "low": {"title": "Cello Suite", "artist": "Bach", "album": "Suites"},
    "middle": {"title": "Étude", "artist": "Chopin"},
    "high": {"title": "Piccolo song", "artist": "Bach", "album": "Suites"},
    "both": {"title": "Two voices"},
}


@pytest.fixture(scope="module")
def library(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, tones: dict[str, Path]
) -> Iterator[tuple[Running, dict[str, str]]]:
    """A service that holds the four tones, and their ids; nothing here changes it."""
    folder = tmp_path_factory.mktemp("library")
    database = folder / "muquery.sqlite3"
    database.write_bytes(sqlite_template.read_bytes())
    settings = make_settings(folder / "data", f"sqlite:///{database}", max_clip_s=15.0)
    encoder = FakeEncoder()
    with running_service(settings, encoder) as (client, services):
        ids = {}
        for name, path in tones.items():
            result = upload(client, path, metadata=json.dumps(METADATA[name])).json()
            ids[name] = result["track"]["id"]
            wait_for_job(client, result["job"]["id"])
        wait_for_index(client)
        yield Running(client, services, encoder), ids


Library = tuple[Running, dict[str, str]]


def ask(running: Running, *query: dict[str, Any], **options: Any) -> dict[str, Any]:
    response = running.client.post(f"{API}/search", json={"query": list(query), **options})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def send(running: Running, request: dict[str, Any], **files: Path) -> Any:
    sent = {name: (path.name, path.read_bytes()) for name, path in files.items()}
    data = {"request": json.dumps(request)}
    return running.client.post(f"{API}/search", data=data, files=sent)


def found(answer: dict[str, Any]) -> list[str]:
    return [hit["track"]["id"] for hit in answer["items"]]


def test_words_find_by_title_and_artist_without_scores(library: Library) -> None:
    running, ids = library
    answer = ask(running, {"text": "etude"}, mode="keyword")
    assert found(answer) == [ids["middle"]]
    assert (answer["mode"], answer["match"], answer["model_id"]) == ("keyword", "good", None)
    (hit,) = answer["items"]
    assert hit["score"] is hit["relevance"] is None
    assert hit["passages"] == []
    assert hit["why"]["keyword"]["rank"] == 1
    assert "title" in hit["why"]["keyword"]["fields"]
    nothing = ask(running, {"text": "zzz"}, mode="keyword")
    assert (nothing["items"], nothing["match"]) == ([], "none")
    nothing = ask(running, {"text": "***"}, mode="keyword")
    assert (nothing["items"], nothing["match"]) == ([], "none")


def test_a_fused_answer_finds_by_words_and_by_sound(library: Library) -> None:
    running, ids = library
    answer = ask(running, {"text": "bach high"}, mode="hybrid")
    assert found(answer)[0] == ids["high"], "it sounds high and is by Bach"
    hits = {hit["track"]["id"]: hit for hit in answer["items"]}
    assert hits[ids["high"]]["why"]["keyword"]["fields"] == ["artist", "filename"]
    assert hits[ids["low"]]["why"]["keyword"]["fields"] == ["artist"]
    assert hits[ids["middle"]]["why"]["keyword"] is None
    for hit in answer["items"]:
        assert hit["why"]["semantic_rank"] is not None
        assert hit["score"] is not None
    fused = [hit["why"]["fused_score"] for hit in answer["items"]]
    assert fused == sorted(fused, reverse=True)
    by_get = running.client.get(f"{API}/search", params={"q": "bach high", "mode": "hybrid"})
    assert found(by_get.json()) == found(answer)


def test_the_reasons_add_up_to_the_score(library: Library) -> None:
    running, ids = library
    answer = ask(
        running,
        {"text": "low"},
        {"track_id": ids["middle"], "weight": 0.5},
        {"text": "high", "weight": -1},
    )
    for hit in answer["items"]:
        parts = hit["why"]["parts"]
        assert [part["index"] for part in parts] == [0, 1, 2]
        assert sum(part["contribution"] for part in parts) == pytest.approx(hit["score"], abs=1e-6)
        assert parts[2]["contribution"] <= 0
        assert all(0 <= part["relevance"] <= 1 for part in parts)
    assert found(answer)[-1] == ids["high"]


def test_at_most_so_many_of_an_artist_over_all_pages(library: Library) -> None:
    running, ids = library
    seen: list[str] = []
    cursor = None
    while True:
        page = ask(
            running, {"text": "low"}, limit=1, cursor=cursor, max_per={"artist": 1}, passages=0
        )
        seen += found(page)
        assert [hit["rank"] for hit in page["items"]] == [len(seen)]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted([ids["low"], ids["middle"], ids["both"]])
    params = {"q": "low", "max_per_artist": 1, "max_per_album": 1}
    assert len(running.client.get(f"{API}/search", params=params).json()["items"]) == 3


def test_no_hit_is_good_enough_is_said(library: Library) -> None:
    running, _ = library
    answer = ask(running, {"text": "low"}, min_relevance=1.0)
    assert (answer["items"], answer["match"]) == ([], "none")
    assert ask(running, {"text": "low"})["match"] == "good"


def test_passages_have_no_words(library: Library) -> None:
    running, _ = library
    wanted = {"query": [{"text": "low"}], "mode": "keyword", "level": "passage"}
    response = running.client.post(f"{API}/search", json=wanted)
    assert response.json()["error"]["code"] == "invalid_request"
    fused = ask(running, {"text": "bach low"}, mode="hybrid", level="passage")
    assert all(len(hit["passages"]) == 1 for hit in fused["items"])


def test_several_clips_mix_with_texts(library: Library, tmp_path: Path) -> None:
    running, ids = library
    low = write_audio(tmp_path / "low.wav", tone(150.0, 10.0), SAMPLE_RATE_HZ)
    high = write_audio(tmp_path / "high.wav", tone(5000.0, 10.0), SAMPLE_RATE_HZ)
    parts = [{"clip": "a"}, {"clip": "b", "weight": -1}]
    answer = send(running, {"query": parts}, a=low, b=high).json()
    assert found(answer)[0] == ids["low"]
    assert found(answer)[-1] == ids["high"]
    swapped = send(running, {"query": parts}, a=high, b=low).json()
    assert found(swapped)[0] == ids["high"]
    mixed = [{"text": "low", "weight": 0.2}, {"clip": "b"}]
    assert found(send(running, {"query": mixed}, b=high).json())[0] == ids["high"]
    first = send(running, {"query": mixed, "limit": 1}, b=high).json()
    more = {"query": mixed, "limit": 3, "cursor": first["next_cursor"]}
    rest = send(running, more, b=high).json()
    assert sorted(found(first) + found(rest)) == sorted(ids.values())
    assert running.client.get(f"{API}/tracks").json()["total"] == 4


def test_a_form_without_files_is_a_request_too(library: Library) -> None:
    running, ids = library
    body = (
        b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n'
        b'{"query": [{"text": "low"}], "limit": 1}\r\n--x--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = running.client.post(f"{API}/search", content=body, headers=headers)
    assert found(response.json()) == [ids["low"]]


def test_clips_and_parts_must_agree(library: Library, tmp_path: Path) -> None:
    running, _ = library
    clip = write_audio(tmp_path / "clip.wav", tone(150.0, 1.0), SAMPLE_RATE_HZ)
    for parts, files in (
        ([{"clip": "a"}], {}),
        ([{"clip": "a"}], {"b": clip}),
        ([{"text": "low"}], {"b": clip}),
        ([{"clip": "a"}, {"clip": "b"}], {"b": clip}),
        ([{"clip": "a", "text": "low"}], {"a": clip}),
        ([{"clip": name} for name in "abcde"], dict.fromkeys("abcde", clip)),
    ):
        response = send(running, {"query": parts}, **files)
        assert response.status_code == 422, parts
        assert response.json()["error"]["code"] == "invalid_request"
    response = running.client.post(f"{API}/search", json={"query": [{"clip": "a"}]})
    assert response.json()["error"]["code"] == "invalid_request"
    text = tmp_path / "clip.txt"
    text.write_text("no audio")
    assert send(running, {"query": [{"clip": "a"}]}, a=text).status_code == 415


def test_verifying_the_index_finds_words_that_drifted(library: Library) -> None:
    running, _ = library
    checked = running.client.post(f"{API}/index/verify").json()
    assert checked["ok"]
    assert (checked["words"]["ok"], checked["words"]["checked"]) == (True, 4)
    with running.services.database.write() as session:
        session.execute(sa.text("DELETE FROM track_search"))
    drifted = running.client.post(f"{API}/index/verify").json()
    assert (drifted["ok"], drifted["missing"], drifted["words"]["missing"]) == (False, 0, 4)
    assert running.client.post(f"{API}/index/repair").json()["words"]["repaired"] == 4
    assert running.client.post(f"{API}/index/verify").json()["ok"]
