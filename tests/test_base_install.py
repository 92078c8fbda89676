"""The serving environment: no torch, no training packages, and the whole path works."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.audio import write_audio
from tests.support.process import environment, serving
from tests.support.service import eventually

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="SKIPPED LOUDLY: no .venv here (`make test` builds it), the base install is NOT tested",
)


def test_the_base_install_holds_no_torch() -> None:
    code = (
        "import json, importlib.util as u; unwanted = ('torch', 'safetensors', 'onnx', 'pytest'); "
        "print(json.dumps([name for name in unwanted if u.find_spec(name)]))"
    )
    answer = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []


def test_training_commands_say_what_they_need() -> None:
    command = [PYTHON, "-m", "muquery", "train", "muq", "--recipe", "tiny"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "muquery[train]" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_upload_and_search_without_torch(tmp_path: Path) -> None:
    song = write_audio(tmp_path / "song.wav", _tone(12.0), 24_000, tags={"title": "A Tone"})
    env = environment(tmp_path, f"sqlite:///{tmp_path / 'library.sqlite3'}")
    with serving(env, python=PYTHON) as server:
        with song.open("rb") as body:
            uploaded = httpx.post(f"{server.api}/tracks", files={"file": body}, timeout=60)
        assert uploaded.status_code == 202, uploaded.text
        job = uploaded.json()["job"]["id"]
        eventually(lambda: httpx.get(f"{server.api}/jobs/{job}").json()["state"] == "done", 60)
        query = {"query": [{"text": "a steady tone"}]}
        found = eventually(
            lambda: httpx.post(f"{server.api}/search", json=query, timeout=60).json()["items"], 60
        )
    assert [hit["track"]["title"] for hit in found] == ["A Tone"]
    assert [passage["start_s"] for passage in found[0]["passages"]] != []


def _tone(duration_s: float) -> np.ndarray:
    seconds = np.arange(int(duration_s * 24_000)) / 24_000
    return (0.3 * np.sin(2 * np.pi * 330.0 * seconds)).astype(np.float32)
