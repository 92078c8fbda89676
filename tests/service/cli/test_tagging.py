"""`muquery tag` and `muquery vocab` as a person types them, with the tiny real bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.cli.program import run
from tests.support.audio import write_audio
from tests.support.encoder import tone

MOODS = {
    "description": "ours",
    "groups": [
        {
            "name": "mood",
            "choice": "single",
            "threshold": 0,
            "labels": ["calm", {"label": "dark", "weak": True, "note": "untested"}],
        }
    ],
}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 0, capsys.readouterr().err
    return str(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 1
    return str(capsys.readouterr().err)


def test_vocabularies_from_file_to_deletion(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "moods.json"
    file.write_text(json.dumps(MOODS))
    assert "standard" in printed(capsys, "vocab", "list")
    assert "moods saved as version 1." in printed(capsys, "vocab", "set", "moods", str(file))
    assert "moods is already version 1." in printed(capsys, "vocab", "set", "moods", str(file))
    shown = printed(capsys, "vocab", "show", "moods")
    assert "version 1 of 1" in shown
    assert "never" in shown
    assert "untested" in shown
    again = json.loads(printed(capsys, "vocab", "show", "moods", "--json"))
    file.write_text(json.dumps(again))
    assert "is already version 1" in printed(capsys, "vocab", "set", "moods", str(file))
    assert "tagged again in job" in printed(capsys, "vocab", "use", "moods")
    assert "make another the default" in refused(capsys, "vocab", "delete", "moods")
    assert "tagged again in job" in printed(capsys, "vocab", "use", "standard")
    assert "version 1 of 1" in printed(capsys, "vocab", "show", "standard"), "nothing was changed"
    assert "deleted" in printed(capsys, "vocab", "delete", "moods")
    assert "No vocabulary" in refused(capsys, "vocab", "show", "moods")
    assert "make another the default" in refused(capsys, "vocab", "delete", "standard")


def test_a_vocabulary_file_that_is_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot read" in refused(capsys, "vocab", "set", "moods", "/no/such/file")
    file = home / "broken.json"
    file.write_text("{")
    assert "not JSON" in refused(capsys, "vocab", "set", "moods", str(file))
    file.write_text("[]")
    assert "an object" in refused(capsys, "vocab", "set", "moods", str(file))
    file.write_text("{}")
    assert "groups" in refused(capsys, "vocab", "set", "moods", str(file))


def test_tags_of_a_file_and_of_a_track(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    song = write_audio(home / "song.flac", tone(440.0, 12.0), 24_000, tags={"title": "Deep"})
    assert "1 added" in printed(capsys, "add", str(song))
    track_id = json.loads(printed(capsys, "search", "deep", "--json"))["items"][0]["track"]["id"]

    by_labels = printed(capsys, "tag", str(song), "calm", "dark", "--template", "a {label} tone")
    assert "calm" in by_labels
    assert "Group" not in by_labels
    standard = printed(capsys, "tag", track_id, "--timeline")
    assert "Group" in standard
    assert "0:10–0:12" in standard
    answer = json.loads(printed(capsys, "tag", track_id, "calm", "--start", "10", "--json"))
    assert [item["label"] for item in answer["items"]] == ["calm"]

    tried = printed(capsys, "vocab", "try", "standard", "mood", "calm")
    assert "of 1 tracks" in tried
    assert "Deep" in tried
    found = json.loads(printed(capsys, "vocab", "try", "standard", "mood", "new", "--json"))
    assert found["in_vocabulary"] is False

    for arguments, reason in (
        ((track_id, "calm", "--vocabulary", "standard"), "not both"),
        ((track_id, "--template", "a {label}"), "belongs to labels"),
        ((str(song), "--start", "3"), "id of a track"),
        (("/no/such/file",), "there is no file"),
    ):
        assert reason in refused(capsys, "tag", *arguments)
