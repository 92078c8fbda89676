"""The demo library is what library.json says it is: free, credited, unheard in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checksum import file_sha256
from models.training.corpus.audio import decode_mono, probe
from models.training.corpus.demo_library import EXCERPT_S, LICENCE_URLS, excerpt
from models.training.corpus.demo_pieces import DEMO_PIECES
from models.training.corpus.packages import PACKAGES
from models.training.corpus.pieces import is_reserved_artist
from models.training.corpus.rules import RESERVED_PACKAGES

LIBRARY = Path(__file__).parents[2] / "service" / "demo" / "library"
CREDITS: list[dict[str, Any]] = json.loads((LIBRARY / "library.json").read_text(encoding="utf-8"))
LARGEST_BYTES = 25_000_000


def test_every_file_is_credited_and_every_credit_has_its_file() -> None:
    assert {credit["file"] for credit in CREDITS} == {path.name for path in LIBRARY.glob("*.opus")}
    assert len({credit["file"] for credit in CREDITS}) == len(CREDITS) == len(DEMO_PIECES)
    assert 20 <= len(CREDITS) <= 30
    assert sum(path.stat().st_size for path in LIBRARY.iterdir()) <= LARGEST_BYTES


def test_nothing_in_it_is_reserved_or_trained_on() -> None:
    split_of = {f"Debian package {p.name} {p.version}": p.split for p in PACKAGES}
    for credit in CREDITS:
        assert split_of[credit["source"]] == "test", credit["file"]
        assert credit["source"].split(" ")[2] not in RESERVED_PACKAGES
        assert not is_reserved_artist(credit["artist"], credit["title"])


def test_every_licence_lets_it_be_passed_on_and_its_text_is_at_hand() -> None:
    texts = {path.name for path in LIBRARY.glob("LICENCE-*.txt")}
    for credit in CREDITS:
        assert LICENCE_URLS[credit["licence"]] == credit["licence_url"]
        assert credit["artist"] in credit["attribution"]
        if credit["licence"].startswith("GPL"):
            assert f"LICENCE-{credit['licence'].rstrip('+')}.txt" in texts
        if credit["licence"] == "MIT":
            assert "LICENCE-pax-britannica.txt" in texts


@pytest.mark.parametrize("credit", CREDITS, ids=lambda credit: str(credit["file"]))
def test_a_file_is_intact_tagged_and_plays(credit: dict[str, Any]) -> None:
    path = LIBRARY / credit["file"]
    assert file_sha256(path) == credit["sha256"]
    tags = probe(path).tags
    assert (tags["title"], tags["artist"]) == (credit["title"], credit["artist"])
    assert tags.get("genre") == credit["genre"]
    samples = decode_mono(path, 24_000)
    assert len(samples) / 24_000 == pytest.approx(credit["duration_s"], abs=0.1)
    level = float(np.sqrt(np.square(samples).mean()))
    assert 0.02 < level < 0.4
    # Faded in and out: neither edge clicks.
    assert np.abs(samples[:240]).max() < 0.05
    assert np.abs(samples[-240:]).max() < 0.05


def test_an_excerpt_is_cut_levelled_and_faded() -> None:
    rate = 8_000
    time = np.arange(rate * 100) / rate
    quiet = (0.01 * np.sin(2 * np.pi * 330 * time)).astype(np.float32)[np.newaxis]
    cut = excerpt(np.concatenate([quiet, quiet]), 90.0, rate)
    assert cut.shape == (2, int(EXCERPT_S * rate)), "a start too late moves to the last 45 s"
    assert np.sqrt(np.square(cut[:, rate * 10 : rate * 30]).mean()) == pytest.approx(0.126, rel=0.1)
    assert np.abs(cut[:, 0]).max() == 0
    loud = excerpt(100 * quiet, 0.0, rate)
    assert np.abs(loud).max() <= 0.9
