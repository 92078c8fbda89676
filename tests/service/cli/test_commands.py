"""Commands as a person types them: in this process without a server, with the tiny real bundle."""

import shutil
import socket
from pathlib import Path

import pytest

from service.cli.adding import find_files
from service.cli.output import CliError, clock, percent, size
from service.cli.program import run
from tests.support.process import TINY_BUNDLE


def test_from_a_folder_to_a_hit(music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["add", str(music)]) == 1
    first = capsys.readouterr()
    assert "2 added, 2 analysed, 0 already there, 1 failed." in first.out
    assert "broken.mp3" in first.out
    assert "not audio" in first.out
    (music / "album" / "broken.mp3").unlink()
    assert run(["add", str(music)]) == 0
    assert "0 added, 2 already there." in capsys.readouterr().out

    assert run(["tracks"]) == 0
    listed = capsys.readouterr().out
    assert "Deep" in listed
    assert "bright.ogg" in listed
    assert run(["tracks", "deep", "--sort", "title"]) == 0
    assert "bright.ogg" not in capsys.readouterr().out
    assert run(["jobs", "--state", "done"]) == 0
    assert "Deep" in capsys.readouterr().out

    assert run(["search", "a deep tone", "--without", "drums", "--limit", "2"]) == 0
    found = capsys.readouterr().out
    assert "Deep" in found
    assert "0:00–0:10" in found
    assert run(["search", "anything", "--min-relevance", "1"]) == 0
    assert "nothing in the library matches" in capsys.readouterr().err
    assert run(["search", "deep", "--mode", "keyword", "--max-per-artist", "1", "--collapse"]) == 0
    assert "Deep" in capsys.readouterr().out
    assert run(["search", "anything", "--json"]) == 0
    assert '"model_id"' in capsys.readouterr().out

    assert run(["index", "verify"]) == 0
    assert "0 missing" in capsys.readouterr().out
    assert run(["index", "rebuild"]) == 0
    assert "2 tracks" in capsys.readouterr().out
    assert run(["index", "repair"]) == 0


def test_tags_of_a_file(music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = music / "album" / "deep.flac"
    assert run(["tag", str(file), "piano", "guitar", "--template", "a {label} tone"]) == 0
    shown = capsys.readouterr().out
    assert "piano" in shown
    assert "%" in shown


def test_keys_are_made_listed_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["key", "create", "--name", "laptop", "--scope", "read", "--scope", "write"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("mq_")
    assert run(["key", "list"]) == 0
    listed = capsys.readouterr().out
    assert "laptop" in listed
    assert secret not in listed
    key_id = listed.splitlines()[1].split()[0]
    assert run(["key", "revoke", key_id]) == 0
    assert "revoked" in capsys.readouterr().out
    assert run(["key", "revoke", "nothing"]) == 1
    assert "No key has this id." in capsys.readouterr().err


def test_models_are_listed_and_verified(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "list"]) == 0
    listed = capsys.readouterr().out
    assert "OpenMuQ/MuQ-MuLan-large" in listed
    assert "GPL-3.0-only" in listed
    assert run(["model", "verify"]) == 0
    assert "is sound" in capsys.readouterr().out
    spoilt = home / "spoilt"
    shutil.copytree(TINY_BUNDLE, spoilt)
    (spoilt / "text.onnx").write_bytes(b"spoilt")
    assert run(["model", "verify", str(spoilt)]) == 1
    assert "text.onnx" in capsys.readouterr().err


def test_the_database_is_upgraded(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["db", "upgrade"]) == 0
    assert "revision" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add", "/no/such/folder"], "there is no file or folder"),
        (["tag", "/no/such/file", "piano"], "there is no file"),
        (["search", "x", "--url", "http://127.0.0.1:9"], "is `muquery serve` running there?"),
        (["search", "x", "--url", "not a url"], "is `muquery serve` running there?"),
        (["serve", "--host", "0.0.0.0"], "muquery key create"),
        (["serve", "--host", "203.0.113.77", "--port", "1"], "muquery key create"),
        (["search", "x", "--like", "nonsense"], "No track has this id."),
        (["model", "pull", "nobody/nothing"], "is not one of"),
        (["model", "verify", "nothing"], "there is no model"),
    ],
)
def test_a_failure_is_one_plain_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 1
    said = capsys.readouterr()
    assert told in said.err
    assert "Traceback" not in said.err + said.out
    assert said.err.startswith("muquery: ")
    assert said.err.count("\n") == 1


def test_an_empty_folder_is_said_to_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["add", str(tmp_path / "empty")]) == 1
    assert "no audio files" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUQUERY_MODEL", "/no/such/model")
    assert run(["search", "x"]) == 1
    assert "the model cannot be loaded" in capsys.readouterr().err


def test_a_bad_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUQUERY_CLIP_BATCH", "many")
    assert run(["tracks"]) == 1
    assert "MUQUERY_CLIP_BATCH" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(["serve", "--port", str(taken.getsockname()[1])]) == 1
    assert "cannot listen on" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["key", "--help"], []])
def test_help_is_offered(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) in (0, 2)
    assert "muquery" in "".join(capsys.readouterr())


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sing"]) == 2
    assert "sing" in capsys.readouterr().err


def test_files_are_found_once_and_in_order(music: Path) -> None:
    found = find_files([music / "album" / "deep.flac", music])
    assert [path.name for path in found] == ["deep.flac", "bright.ogg", "broken.mp3"]
    assert [path.name for path in find_files([music / "album" / "notes.txt"])] == ["notes.txt"]
    with pytest.raises(CliError):
        find_files([music / "nothing"])


def test_amounts_read_well() -> None:
    assert [clock(s) for s in (None, 0, 59.9, 61, 3600)] == ["–", "0:00", "0:59", "1:01", "1:00:00"]
    assert [percent(s) for s in (None, 0.5, 0.99996, 1.0)] == ["–", "50.0 %", "99.996 %", "100.0 %"]
    sizes = [size(n) for n in (12, 1500, 2_500_000, 3 * 10**9)]
    assert sizes == ["12 B", "1.5 kB", "2.5 MB", "3.00 GB"]
