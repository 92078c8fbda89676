"""The mark of a worker falls with its process, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.worker import marks
from service.worker.marks import WorkerMarks

_HOLDER = """
import sys
from pathlib import Path
from service.worker.marks import WorkerMarks
held = WorkerMarks(Path(sys.argv[1]))
held.hold(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder: Path, name: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def dead(folder: Path) -> list[str]:
    with WorkerMarks(folder).dead() as found:
        return found


def test_only_the_killed_are_dead(tmp_path: Path) -> None:
    own = WorkerMarks(tmp_path)
    own.hold("host:0:own")
    with holder(tmp_path, "host:1:a") as process:
        with own.dead() as found:
            assert found == []
        process.kill()
        process.wait()
        with own.dead() as found:
            assert found == ["host:1:a"]
            assert dead(tmp_path) == [], "nobody else does the same meanwhile"
        with own.dead() as found:
            assert found == [], "it is told once"
    own.release()
    assert dead(tmp_path) == []


def test_a_death_that_could_not_be_dealt_with_is_told_again(tmp_path: Path) -> None:
    with holder(tmp_path, "host:1:a") as process:
        process.kill()

    def fail(found: list[str]) -> None:
        raise RuntimeError(found)

    with pytest.raises(RuntimeError, match="host:1:a"), WorkerMarks(tmp_path).dead() as found:
        fail(found)
    assert dead(tmp_path) == ["host:1:a"]


def test_nothing_is_concluded_about_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holder(tmp_path, "host:1:a") as process:
        process.kill()
    other = tmp_path / "boot_id"
    monkeypatch.setattr(marks, "_BOOT_ID", other)
    assert dead(tmp_path) == [], "a kernel that does not say which it is"
    other.write_text("another\n")
    assert dead(tmp_path) == []
    monkeypatch.undo()
    assert dead(tmp_path) == ["host:1:a"]


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    held = WorkerMarks(tmp_path / "file")
    held.hold("host:1:a")
    with held.dead() as found:
        assert found == []
    held.release()
