"""Imports and embeddings from the command line, against a server and without one."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.cli.adding import reference_of, shown_path
from service.cli.batch import note_of
from service.cli.program import run
from tests.support.audio import write_audio
from tests.support.encoder import tone
from tests.support.process import environment, serving
from tests.support.service import eventually


def test_the_same_paths_have_one_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    assert reference_of([one, two]) == reference_of([two, Path("one")])
    assert reference_of([one]) != reference_of([two])
    assert len(reference_of([one])) <= 100
    assert shown_path(Path("caf\udce9.mp3")) == "caf?.mp3"


def test_what_a_bar_says() -> None:
    found = {"state": "running", "error_message": None, "eta_s": 75.0, "audio_hours_per_hour": 40.4}
    assert note_of(found) == "1:15 left, 40 h of audio per hour"
    assert note_of(found | {"state": "paused"}) == "paused"
    assert note_of(found | {"error_message": "The disk is full."}) == "The disk is full."
    assert note_of(found | {"eta_s": None, "audio_hours_per_hour": None}) == ""


def test_imports_and_embeddings(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["add", str(music), "--name", "Two tones"]) == 1
    capsys.readouterr()
    assert run(["imports", "list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "Two tones" in line)
    import_id = line.split()[0]
    assert "done" in line
    assert run(["imports", "show", import_id]) == 0
    shown = capsys.readouterr().out
    assert "broken.mp3" in shown
    assert "not audio" in shown
    assert run(["imports", "retry", import_id]) == 0
    assert "1 must be sent again" in capsys.readouterr().out
    assert run(["imports", "pause", import_id]) == 1
    assert "import_ended" in capsys.readouterr().err
    assert run(["imports", "show", "nonsense"]) == 1
    assert "import_not_found" in capsys.readouterr().err

    for suffix in ("npz", "parquet"):
        file = tmp_path / f"out.{suffix}"
        assert run(["export", str(file)]) == 0
        assert file.stat().st_size > 1000
        capsys.readouterr()
        assert run(["import-embeddings", str(file)]) == 0
        assert "2 tracks read: 2 known, 0 attached, 0 wait" in capsys.readouterr().out
    assert run(["export", str(tmp_path / "out.csv")]) == 1
    assert list(tmp_path.glob("*.part")) == []


def test_an_interrupted_add_goes_on(tmp_path: Path, sqlite_url: str) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(14):
        write_audio(folder / f"{number:02}.flac", tone(200.0 + 50 * number, 1.5), 24_000)
    env = environment(tmp_path / "data", sqlite_url)
    command = [sys.executable, "-m", "muquery", "add", str(folder), "--url"]
    # So few a minute that however slow this process is, the command cannot be done before it.
    with serving(env | {"MUQUERY_RATE_LIMITS": "on", "MUQUERY_RATE_UPLOAD_PER_MIN": "6"}) as slow:
        # What started the tests in the background may have had them ignore Ctrl-C, and so their
        # children; a signal that is handled here is not ignored there.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [*command, slow.url], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        signal.signal(signal.SIGINT, before)

        def sent() -> int:
            found = httpx.get(f"{slow.api}/imports").json()["items"]
            return int(found[0]["total_files"]) if found else 0

        eventually(lambda: sent() >= 3, 180)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
        assert "the same command goes on" in said
        (first,) = httpx.get(f"{slow.api}/imports").json()["items"]
        assert first["listed"] is False
        assert first["total_files"] < 14
        slow.stop()
    with serving(env) as server:
        done = subprocess.run(
            [*command, server.url],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "14 added, 14 analysed, 0 already there." in done.stdout
        (again,) = httpx.get(f"{server.api}/imports").json()["items"]
        assert (again["id"], again["counts"]["done"]) == (first["id"], 14)


def test_a_folder_of_the_server(tmp_path: Path, sqlite_url: str, music: Path) -> None:
    env = environment(tmp_path / "data", sqlite_url, IMPORT_ROOTS=str(music))
    with serving(env) as server:
        command = [sys.executable, "-m", "muquery", "add", "--on-server", "--url", server.url]
        done = subprocess.run(
            [*command, str(music)],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "2 added, 2 analysed, 0 already there, 1 failed." in done.stdout
        assert done.returncode == 1
        refused = subprocess.run(
            [*command, "/etc"], env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert "folder_not_allowed" in refused.stderr
