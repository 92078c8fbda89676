"""Serving needs no torch: the whole ONNX path runs where importing it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = ROOT / "tests" / "data" / "tiny_bundle"
PROGRAM = """
import importlib.abc, json, sys

class NoTraining(importlib.abc.MetaPathFinder):
    blocked = {"torch", "safetensors", "onnx", "onnxscript", "transformers", "torchaudio"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.blocked:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, NoTraining())
import numpy as np
import models
encoder = models.load_bundle(sys.argv[1], threads=1)
texts = encoder.embed_text(["calm piano", "techno"])
track = encoder.embed_track(np.sin(np.arange(300_000) / 20).astype(np.float32))
from models.relevance import relevance_scale
scale = relevance_scale(texts[0], encoder.reference)
print(json.dumps([
    encoder.runtime, list(texts.shape), list(track.clips.shape),
    scale.relevance(float(track.mean @ texts[0])), encoder.tag_probability(0.9),
]))
"""


def test_the_onnx_path_runs_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(TINY)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    runtime, texts, clips, relevance, probability = json.loads(done.stdout)
    assert runtime == "onnx"
    assert texts == [2, 32]
    assert clips == [2, 32]
    assert 0 < relevance < 1
    assert 0 < probability < 1


def test_asking_for_torch_without_torch_says_what_to_install() -> None:
    program = PROGRAM.replace("threads=1)", "threads=1, runtime='torch')")
    done = subprocess.run(
        [sys.executable, "-c", program, str(TINY)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "RuntimeUnavailableError" in done.stderr
    assert "muquery[train]" in done.stderr
