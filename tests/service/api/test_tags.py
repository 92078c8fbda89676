"""Tags and vocabularies over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.tagging.results import MAX_TIMELINE_VALUES
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

PITCH = {"name": "pitch", "choice": "single", "labels": ["low", "middle", "high"]}
NOISY = {"name": "noise", "labels": [{"label": "noise", "weak": True, "note": "untested"}]}
Library = tuple[Running, dict[str, str]]


@pytest.fixture
def library(running_anywhere: Running, tones: dict[str, Path]) -> Library:
    """On each database, a service that holds the four tones."""
    return running_anywhere, fill(running_anywhere, tones)


@pytest.fixture(scope="module")
def asked(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, tones: dict[str, Path]
) -> Iterator[Library]:
    """The same on SQLite, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("asked")
    database = folder / "muquery.sqlite3"
    database.write_bytes(sqlite_template.read_bytes())
    encoder = FakeEncoder()
    settings = make_settings(folder / "data", f"sqlite:///{database}")
    with running_service(settings, encoder) as (client, services):
        running = Running(client, services, encoder)
        save(running, "pitches", PITCH, NOISY)
        yield running, fill(running, tones)


def fill(running: Running, tones: dict[str, Path]) -> dict[str, str]:
    ids = {}
    for name, path in tones.items():
        result = upload(running.client, path, metadata=json.dumps({"title": name})).json()
        ids[name] = result["track"]["id"]
        assert wait_for_job(running.client, result["job"]["id"])["state"] == "done"
    wait_for_index(running.client)
    return ids


def save(running: Running, name: str, *groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"groups": list(groups), **more}
    response = running.client.put(f"{API}/vocabularies/{name}", json=body)
    assert response.status_code == 200, response.text
    saved: dict[str, Any] = response.json()
    return saved


def ask(running: Running, **wanted: Any) -> dict[str, Any]:
    response = running.client.post(f"{API}/tags", json=wanted)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(running: Running, method: str, path: str, body: Any = None) -> tuple[int, str]:
    response = running.client.request(method, f"{API}{path}", json=body)
    return response.status_code, response.json()["error"]["code"]


def get(running: Running, path: str, **params: Any) -> dict[str, Any]:
    response = running.client.get(f"{API}{path}", params=params)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_labels_alone_are_one_group(asked: Library) -> None:
    running, ids = asked
    answer = ask(running, track_id=ids["low"], labels=["high", "low", " low ", "Low"])
    assert [(item["group"], item["label"], item["rank"]) for item in answer["items"]] == [
        ("labels", "low", 1),
        ("labels", "high", 2),
    ]
    assert answer["items"] == answer["groups"][0]["items"]
    assert (answer["vocabulary"], answer["version"], answer["timeline"]) == (None, None, None)


def test_groups_have_their_own_ranks_choices_and_templates(asked: Library) -> None:
    running, ids = asked
    groups = [
        {"name": "one", "choice": "single", "labels": ["low", "high"]},
        {"name": "many", "labels": ["low", "high"], "threshold": 0},
        {"name": "asked", "templates": ["a {label} noise"], "labels": ["low"]},
        {"name": "own", "labels": [{"label": "anything", "prompts": ["high"]}]},
    ]
    answer = ask(running, track_id=ids["high"], groups=groups)
    one, many, templated, own = answer["groups"]
    assert one["assigned"] == ["high"]
    assert many["assigned"] == ["high", "low"]
    assert [item["rank"] for item in many["items"]] == [1, 2]
    assert templated["items"][0]["score"] != many["items"][1]["score"]
    assert own["items"][0]["score"] == pytest.approx(
        ask(running, track_id=ids["high"], labels=["high"], templates=["{label}"])["items"][0][
            "score"
        ]
    )
    relevances = [item["relevance"] for item in answer["items"]]
    assert relevances == sorted(relevances, reverse=True)
    assert len(relevances) == 6


def test_a_stored_vocabulary_is_asked_by_name_and_version(asked: Library) -> None:
    running, ids = asked
    answer = ask(running, track_id=ids["middle"], vocabulary="pitches")
    assert (answer["vocabulary"], answer["version"]) == ("pitches", 1)
    pitch, noise = answer["groups"]
    assert pitch["assigned"] == ["middle"]
    assert (noise["assigned"], noise["items"][0]["weak"]) == ([], True)
    assert answer == ask(running, track_id=ids["middle"], vocabulary="pitches", version=1)
    unknown = {"track_id": ids["low"], "vocabulary": "pitches", "version": 9}
    assert refused(running, "POST", "/tags", unknown) == (404, "vocabulary_not_found")


def test_a_clip_takes_the_same_questions(asked: Library, tones: dict[str, Path]) -> None:
    running, ids = asked
    options = {"vocabulary": "pitches", "timeline": True}
    with tones["both"].open("rb") as file:
        answer = running.client.post(
            f"{API}/tags/audio", files={"file": file}, data={"options": json.dumps(options)}
        ).json()
    stored = ask(running, track_id=ids["both"], **options)
    for mine, other in zip(answer["items"], stored["items"], strict=True):
        assert mine["label"] == other["label"]
        assert mine["score"] == pytest.approx(other["score"], abs=1e-3)
    assert answer["timeline"]["starts_s"] == stored["timeline"]["starts_s"]


def test_a_timeline_tells_the_seconds(asked: Library) -> None:
    running, ids = asked
    timeline = ask(running, track_id=ids["both"], labels=["low", "high"], timeline=True)["timeline"]
    assert timeline["measure"] == "probability"
    assert (timeline["starts_s"], timeline["ends_s"]) == ([0, 10], [10, pytest.approx(20)])
    rows = {row["label"]: row["values"] for row in timeline["rows"]}
    assert rows["low"][0] > 0.5 > rows["low"][1]
    assert rows["high"][0] < 0.5 < rows["high"][1]
    assert timeline["omitted_labels"] == 0
    span = ask(running, track_id=ids["both"], labels=["low"], timeline=True, start_s=11, end_s=19)
    assert span["timeline"]["starts_s"] == [10]


def test_a_long_timeline_keeps_the_best_labels(
    asked: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_TIMELINE_VALUES >= 500 * 100, "500 labels on 16 minutes are given in full"
    running, ids = asked
    monkeypatch.setattr("service.tagging.results.MAX_TIMELINE_VALUES", 4)
    labels = ["low", "middle", "high", "noise"]
    answer = ask(running, track_id=ids["both"], labels=labels, timeline=True)
    rows = [row["label"] for row in answer["timeline"]["rows"]]
    assert rows == [item["label"] for item in answer["items"]][:2]
    assert answer["timeline"]["omitted_labels"] == 2


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"labels": ["low"], "vocabulary": "pitches"},
        {"labels": ["low"], "version": 1},
        {"vocabulary": "pitches", "templates": ["a {label}"]},
        {"vocabulary": "No Name"},
        {"groups": []},
        {"groups": [{"name": "pitch", "labels": []}]},
        {"groups": [{"name": "a.b", "labels": ["low"]}]},
        {"groups": [PITCH, PITCH]},
        {"groups": [{"name": "pitch", "labels": ["low", "Low"]}]},
        {"groups": [{"name": "pitch", "labels": ["low"], "choice": "any"}]},
        {"groups": [{"name": "pitch", "labels": ["low"], "threshold": 1.5}]},
        {"groups": [{"name": "pitch", "labels": ["l\x00w"]}]},
        {"groups": [{"name": f"g{n}", "labels": [str(i) for i in range(300)]} for n in (0, 1)]},
    ],
)
def test_questions_that_cannot_be_asked(asked: Library, wanted: dict[str, Any]) -> None:
    running, ids = asked
    body = {"track_id": ids["low"], **wanted}
    assert refused(running, "POST", "/tags", body) == (422, "invalid_request")


def test_a_new_library_has_our_vocabulary_and_tags(library: Library) -> None:
    running, ids = library
    (standard,) = get(running, "/vocabularies")["items"]
    assert (standard["name"], standard["version"], standard["is_default"]) == ("standard", 1, True)
    found = get(running, "/vocabularies/standard")
    assert [group["name"] for group in found["groups"]] == [
        "genre", "mood", "instrument", "voice", "use",
    ]  # fmt: skip
    assert found["tagged_tracks"] == found["tracks"] == 4
    tags = get(running, f"/tracks/{ids['low']}/tags")
    assert (tags["vocabulary"], tags["version"], tags["is_current"]) == ("standard", 1, True)
    assert [len(group["items"]) for group in tags["groups"]] == [
        len(group["labels"]) for group in found["groups"]
    ]


def test_saving_a_default_tags_the_library_again(library: Library) -> None:
    running, ids = library
    saved = save(running, "pitches", PITCH, NOISY, description="ours", make_default=True)
    assert saved["new_version"]
    assert wait_for_job(running.client, saved["job_id"])["state"] == "done"
    job = get(running, f"/jobs/{saved['job_id']}")
    assert (job["kind"], job["track_id"], job["progress"]) == ("tag", None, 1.0)
    assert saved["job_id"] in [item["id"] for item in get(running, "/jobs")["items"]]
    for name in ("low", "middle", "high"):
        tags = get(running, f"/tracks/{ids[name]}/tags")
        assert [group["assigned"] for group in tags["groups"]] == [[name], []]
        fresh = ask(running, track_id=ids[name], vocabulary="pitches")
        for mine, other in zip(tags["groups"], fresh["groups"], strict=True):
            assert [item["label"] for item in mine["items"]] == [
                item["label"] for item in other["items"]
            ]
            for left, right in zip(mine["items"], other["items"], strict=True):
                assert left["probability"] == pytest.approx(right["probability"], abs=1e-5)
    along = get(running, f"/tracks/{ids['both']}/tags", timeline=True)["timeline"]
    rows = {row["label"]: row["values"] for row in along["rows"]}
    assert rows["low"][0] > 0.5 > rows["low"][1]
    again = save(running, "pitches", PITCH, NOISY, description="ours")
    assert (again["new_version"], again["job_id"]) == (False, None)
    assert again["vocabulary"]["is_default"]


def test_versions_stay_readable_until_the_vocabulary_is_deleted(library: Library) -> None:
    running, _ = library
    save(running, "pitches", PITCH)
    saved = save(running, "pitches", PITCH, NOISY)
    assert (saved["vocabulary"]["version"], saved["job_id"]) == (2, None)
    old = get(running, "/vocabularies/pitches", version=1)
    assert (len(old["groups"]), old["is_current"]) == (1, False)
    assert [each["version"] for each in old["versions"]] == [2, 1]
    assert old["groups"][0]["labels"] == ["low", "middle", "high"] or [
        label["label"] for label in old["groups"][0]["labels"]
    ] == ["low", "middle", "high"]
    assert running.client.delete(f"{API}/vocabularies/pitches").status_code == 204
    for method, path in (
        ("GET", "/vocabularies/pitches"),
        ("DELETE", "/vocabularies/pitches"),
        ("GET", "/vocabularies/No%20Name"),
        ("GET", "/vocabularies/standard?version=99"),
    ):
        assert refused(running, method, path) == (404, "vocabulary_not_found")
    in_use = refused(running, "DELETE", "/vocabularies/standard")
    assert in_use == (409, "vocabulary_in_use")


def test_a_vocabulary_that_the_model_cannot_read_is_not_saved(asked: Library) -> None:
    running, _ = asked
    label = {"label": "long", "prompts": ["word " * 70]}
    body = {"groups": [{"name": "g", "labels": [label]}]}
    path = "/vocabularies/unreadable"
    assert refused(running, "PUT", path, body) == (422, "text_too_long")
    assert refused(running, "GET", path)[0] == 404
    assert refused(running, "PUT", "/vocabularies/No%20Name", body)[0] == 422


def test_the_tags_of_a_track_that_has_none(idle: Running, tones: dict[str, Path]) -> None:
    track_id = upload(idle.client, tones["low"]).json()["track"]["id"]
    path = f"/tracks/{track_id}/tags"
    assert refused(idle, "GET", path) == (409, "track_not_ready")
    assert refused(idle, "GET", "/tracks/00000000000000000000000000/tags")[0] == 404


def test_a_label_over_the_library(asked: Library) -> None:
    running, _ = asked
    path = "/vocabularies/pitches/distribution"
    found = get(running, path, group="pitch", label="low")
    assert (found["in_vocabulary"], found["choice"], found["tracks"]) == (True, "single", 4)
    assert [each["track"]["title"] for each in found["top"]][:2] == ["low", "both"]
    assert {each["track"]["title"] for each in found["bottom"][:2]} == {"middle", "high"}
    assert sum(found["relevances"]) == sum(found["probabilities"]) == 4
    assert found["assigned"] == sum(each["assigned"] for each in found["top"])
    assert found["share"] == found["assigned"] / 4
    new = get(running, path, group="pitch", label="noise", ends=1)
    assert (new["in_vocabulary"], len(new["top"]), len(new["bottom"])) == (False, 1, 1)
    weak = get(running, path, group="noise", label="Noise")
    assert (weak["in_vocabulary"], weak["weak"], weak["assigned"]) == (True, True, 0)
    assert get(running, path, group="noise", label="шум")["warnings"] != []


def test_a_label_over_what_is_not_there(asked: Library) -> None:
    running, _ = asked
    path = "/vocabularies/pitches/distribution"
    assert refused(running, "GET", f"{path}?group=key&label=low") == (404, "group_not_found")
    assert refused(running, "GET", f"{path}?group=pitch")[0] == 422
    assert refused(running, "GET", f"{path}?group=pitch&label=%20")[0] == 422


def test_a_library_without_tracks_has_an_empty_distribution(idle: Running) -> None:
    params = {"group": "mood", "label": "calm"}
    found = get(idle, "/vocabularies/standard/distribution", **params)
    assert (found["tracks"], found["share"], found["top"]) == (0, 0, [])
