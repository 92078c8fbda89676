"""Search by clips, and tags, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

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
            result = upload(client, path, metadata=json.dumps({"title": name})).json()
            ids[name] = result["track"]["id"]
            wait_for_job(client, result["job"]["id"])
        wait_for_index(client)
        yield Running(client, services, encoder), ids


Library = tuple[Running, dict[str, str]]


def ask_audio(running: Running, path: str, file: Path, **options: object) -> dict[str, object]:
    files = {"file": (file.name, file.read_bytes(), "application/octet-stream")}
    data = {"options": json.dumps(options)} if options else {}
    response = running.client.post(f"{API}{path}", files=files, data=data)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def titles(answer: dict[str, object]) -> list[str]:
    return [hit["track"]["title"] for hit in answer["items"]]  # type: ignore[attr-defined]


def test_an_unstored_clip_finds_what_sounds_like_it(library: Library, tmp_path: Path) -> None:
    running, _ = library
    clip = write_audio(tmp_path / "clip.wav", 0.6 * tone(1000.0, 10.0), SAMPLE_RATE_HZ)
    found = ask_audio(running, "/search/audio", clip)
    assert titles(found)[0] == "middle"
    passages = ask_audio(running, "/search/audio", clip, level="passage", limit=1, passages=1)
    assert titles(passages) == ["middle"]
    assert running.client.get(f"{API}/tracks").json()["total"] == 4


def test_a_clip_mixes_with_texts_and_pages(library: Library, tmp_path: Path) -> None:
    running, ids = library
    clip = write_audio(tmp_path / "clip.wav", tone(150.0, 10.0), SAMPLE_RATE_HZ)
    assert titles(ask_audio(running, "/search/audio", clip))[:2] == ["low", "both"]
    unlike = {"query": [{"track_id": ids["low"], "weight": -0.9}]}
    assert "low" not in titles(ask_audio(running, "/search/audio", clip, **unlike))
    seen: list[str] = []
    options: dict[str, object] = {"limit": 1}
    while True:
        page = ask_audio(running, "/search/audio", clip, **options)
        seen += titles(page)
        if page["next_cursor"] is None:
            break
        options["cursor"] = page["next_cursor"]
    assert sorted(seen) == ["both", "high", "low", "middle"]


def test_a_long_clip_is_used_in_part_and_the_answer_says_so(
    library: Library, tmp_path: Path
) -> None:
    running, _ = library
    clip = write_audio(tmp_path / "long.flac", tone(150.0, 40.0), SAMPLE_RATE_HZ)
    for path in ("/search/audio", "/embeddings/audio"):
        (warning,) = ask_audio(running, path, clip)["warnings"]  # type: ignore[misc]
        assert "first 15 s" in warning
    (warning,) = ask_audio(running, "/tags/audio", clip, labels=["low"])["warnings"]  # type: ignore[misc]
    assert "first 15 s" in warning


def test_tags_are_sorted_and_calibrated(library: Library) -> None:
    running, ids = library
    labels = ["low", "middle", "high"]
    for name in labels:
        wanted = {"track_id": ids[name], "labels": labels}
        body = running.client.post(f"{API}/tags", json=wanted).json()
        assert body["items"][0]["label"] == name
        for item in body["items"]:
            assert item["probability"] == pytest.approx(item["relevance"] ** 2)
        relevances = [item["relevance"] for item in body["items"]]
        assert relevances == sorted(relevances, reverse=True)


def test_tags_of_a_span_are_those_of_its_seconds(library: Library) -> None:
    running, ids = library

    def best(**span: float) -> str:
        wanted = {"track_id": ids["both"], "labels": ["low", "high"], **span}
        return str(running.client.post(f"{API}/tags", json=wanted).json()["items"][0]["label"])

    assert best(start_s=0, end_s=9) == "low"
    assert best(start_s=11, end_s=19) == "high"


def test_tags_of_an_unstored_clip_with_own_templates(library: Library, tmp_path: Path) -> None:
    running, _ = library
    clip = write_audio(tmp_path / "clip.ogg", tone(5000.0, 5.0, 44_100), 44_100)
    answer = ask_audio(
        running, "/tags/audio", clip, labels=["low", "high"], templates=["{label}", "{label} tone"]
    )
    assert answer["items"][0]["label"] == "high"  # type: ignore[index]


MANY = {
    "labels": [str(i) for i in range(500)],
    "templates": ["{label}" + "x" * i for i in range(20)],
}


@pytest.mark.parametrize(
    "wanted",
    [
        MANY,
        {"labels": []},
        {"labels": [" "]},
        {"labels": ["x"], "templates": ["no place"]},
        {"labels": ["x"], "start_s": 5, "end_s": 4},
    ],
)
def test_tags_that_cannot_be_given(library: Library, wanted: dict[str, object]) -> None:
    running, ids = library
    response = running.client.post(f"{API}/tags", json={"track_id": ids["low"], **wanted})
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "invalid_request"


def test_a_template_does_not_make_texts_depend_on_each_other(library: Library) -> None:
    running, ids = library

    def scores(labels: list[str]) -> dict[str, float]:
        wanted = {"track_id": ids["low"], "labels": labels}
        body = running.client.post(f"{API}/tags", json=wanted).json()
        return {item["label"]: item["score"] for item in body["items"]}

    alone = scores(["low"])["low"]
    among = scores(["low", *(f"word {i}" for i in range(150))])["low"]
    assert among == pytest.approx(alone, abs=1e-6)


def test_a_file_that_is_not_audio_is_a_415_everywhere(library: Library, tmp_path: Path) -> None:
    running, _ = library
    files = {"file": ("x.mp3", b"text " * 1000, "audio/mpeg")}
    for path in ("/search/audio", "/tags/audio", "/embeddings/audio"):
        data = {"options": '{"labels": ["x"]}'} if path == "/tags/audio" else {}
        response = running.client.post(f"{API}{path}", files=files, data=data)
        assert (response.status_code, response.json()["error"]["code"]) == (415, "not_audio")
