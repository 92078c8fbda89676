"""Nothing is downloaded behind anyone's back: the bundled model works with no way out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Every attempt to leave the machine is noted and refused; what works after that works offline.
GUARDED = """
import json, socket, sys
attempts = []

def refuse(what):
    def attempt(*arguments, **_):
        attempts.append([what, repr(arguments[-1])])
        raise OSError("no network in this test")
    return attempt

socket.getaddrinfo = refuse("getaddrinfo")
socket.socket.connect = refuse("connect")
socket.socket.connect_ex = refuse("connect_ex")

import numpy as np
import models

encoder = models.load_bundle()
texts = encoder.embed_text(["calm piano", "fast distorted guitars"])
noise = np.random.default_rng(0).normal(0, 0.1, (1, 240_000)).astype(np.float32)
clips = encoder.embed_clips(noise)
try:
    models.load_bundle("OpenMuQ/MuQ-MuLan-large")
    hub = "loaded"
except Exception as error:
    hub = str(error)
print(json.dumps({
    "attempts": attempts, "texts": list(texts.shape), "clips": list(clips.shape), "hub": hub,
}))
"""


def test_the_bundled_model_embeds_without_a_network(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", GUARDED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    seen = json.loads(answer.stdout)
    assert seen["attempts"] == []
    assert seen["texts"][0] == 2
    assert seen["clips"] == [1, seen["texts"][1]]
    assert "muquery model pull" in seen["hub"]
