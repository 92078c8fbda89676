"""`muquery list`, `muquery facets` and `muquery search --filter`, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.cli.program import run
from tests.support.audio import write_audio
from tests.support.encoder import tone

JAZZ = '{"field": "genre", "eq": "JAZZ"}'


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command printed; on failure what it complained of."""
    assert run(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_filter_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "music").mkdir()
    for title, genre, pitch_hz in (("Deep", "Jazz", 150.0), ("Bright", "Rock", 5000.0)):
        tags = {"title": title, "genre": genre}
        write_audio(tmp_path / "music" / f"{title}.flac", tone(pitch_hz, 4.0), 24_000, tags=tags)
    said(capsys, "add", str(tmp_path / "music"))

    listed = said(capsys, "list", "--filter", JAZZ)
    assert "Deep" in listed
    assert "Bright" not in listed
    sorted_by_title = said(capsys, "list", "--sort", "title")
    assert sorted_by_title.index("Bright") < sorted_by_title.index("Deep")
    assert said(capsys, "tracks", "--filter", JAZZ) == listed, "the old name still works"
    assert json.loads(said(capsys, "list", "--filter", JAZZ, "--json"))["total"] == 1

    found = json.loads(said(capsys, "search", "a tone", "--filter", JAZZ, "--json"))
    assert [hit["track"]["title"] for hit in found["items"]] == ["Deep"]

    counts = said(capsys, "facets", "genre", "duration_s", "--filter", JAZZ)
    assert [line.split() for line in counts.splitlines()[1:]] == [
        ["genre", "Jazz", "1"],
        ["genre", "Rock", "1"],
        ["duration_s", "from", "4.0", "to", "4.0", "–"],
    ]
    assert json.loads(said(capsys, "facets", "genre", "--json"))["items"][0]["distinct"] == 2
    known = said(capsys, "facets")
    assert "duration_s" in known
    assert "range" in known

    part = str(tmp_path / "part.npz")
    said(capsys, "export", part, "--filter", JAZZ)
    assert "1 tracks read" in said(capsys, "import-embeddings", part)
    nothing = '{"field": "genre", "eq": "Polka"}'
    assert "no analysed track" in said(capsys, "export", part, "--filter", nothing, code=1)

    for command in (("list",), ("search", "x"), ("facets", "genre"), ("export", part)):
        assert "not JSON" in said(capsys, *command, "--filter", "{", code=1)
        wrong = said(capsys, *command, "--filter", '{"field": "year", "eq": "x"}', code=1)
        assert "filter.eq expects a number" in wrong
        assert "invalid_filter" in wrong
    assert "invalid_field" in said(capsys, "facets", "odd", code=1)
