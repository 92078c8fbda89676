"""Judging a library's search by its owner's queries, with the tiny real bundle in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.output import CliError
from service.cli.program import run
from service.cli.quality import read_judgements
from tests.support.audio import write_audio
from tests.support.encoder import tone


@pytest.fixture
def library(home: Path) -> Path:
    """An installation with three pieces."""
    music = home / "music"
    music.mkdir()
    for name, pitch in {"deep": 150.0, "middle": 900.0, "bright": 5000.0}.items():
        tags = {"title": name.title()}
        write_audio(music / f"{name}.flac", tone(pitch, 3.0), 24_000, tags=tags)
    assert run(["add", str(music)]) == 0
    return home


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "queries.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_ranks_are_those_of_the_search(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # By keyword the order is known: a title is found by its own word, and by no other.
    text = "query,track\ndeep,Deep\nbright,bright.flac\nmiddle,Deep\n"
    path = write_csv(library, text)
    out = library / "report"
    given = ["--queries", str(path), "--out", str(out), "--mode", "keyword"]
    assert run(["evaluate", "library", *given]) == 0
    assert "1 not among the first 1000" in capsys.readouterr().out
    found = json.loads((out / "library.json").read_text())
    assert [line["rank"] for line in found["lines"]] == [1, 1, 1001]
    assert found["measures"]["recall_1"]["bundle"]["value"] == pytest.approx(2 / 3)
    assert found["measures"]["recall_1"]["bundle"]["chance"] == pytest.approx(1 / 3)
    assert found["median_rank"] == 1
    assert (out / "library.png").exists()


def test_by_sound_every_track_has_a_rank(library: Path) -> None:
    path = write_csv(library, "query,track\na tone,Deep\na tone,Middle\na tone,Bright\nhum,Deep\n")
    out = library / "report"
    assert run(["evaluate", "library", "--queries", str(path), "--out", str(out)]) == 0
    first, second = json.loads((out / "library.json").read_text())["lines"]
    # All three are right for the first query, so that the best of them must lead.
    assert (first["right"], first["rank"], first["chance_mrr"]) == (3, 1, 1.0)
    assert second["rank"] in (1, 2, 3)


def test_a_track_that_is_not_there_ends_the_judgement(
    library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(library, "query,track\ndeep,No such piece\n")
    assert run(["evaluate", "library", "--queries", str(path)]) == 1
    assert "0 tracks of the library are called 'No such piece'" in capsys.readouterr().err


def test_judging_a_library_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import service.cli.quality"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_broken_lines_are_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="columns query and track"):
        read_judgements(write_csv(tmp_path, "text,id\na,b\n"))
    with pytest.raises(CliError, match="line 3"):
        read_judgements(write_csv(tmp_path, "query,track\na,b\nc,\n"))
    with pytest.raises(CliError, match="no queries"):
        read_judgements(write_csv(tmp_path, "query,track\n"))
    same = read_judgements(write_csv(tmp_path, "query,track\na,b\na,c\n"))
    assert [(j.query, j.right) for j in same] == [("a", ("b", "c"))]
