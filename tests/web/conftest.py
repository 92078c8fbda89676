"""A real service and a real browser for the page's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.audio import write_audio
from tests.support.process import environment, serving
from tests.support.service import eventually

selenium = pytest.importorskip(
    "selenium", reason="SKIPPED LOUDLY: selenium is not installed, the page is NOT tested"
)
from selenium.webdriver import Chrome  # noqa: E402

from tests.web.browser import CHROMIUM, DRIVER, start_browser  # noqa: E402

READY_S = 60.0
RATE_HZ = 24_000


def tone(frequency_hz: float, duration_s: float, seed: int) -> np.ndarray:
    """Mono samples that look like something on a waveform: a swelling tone with some noise."""
    t = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    swell = 0.1 + 0.4 * np.abs(np.sin(2 * np.pi * t / 7.0))
    noise = np.random.default_rng(seed).normal(0, 0.02, t.size)
    return (swell * np.sin(2 * np.pi * frequency_hz * t) + noise).astype(np.float32)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three tagged files; the first two are in the library, the third is there to be uploaded."""
    folder = tmp_path_factory.mktemp("songs")
    made = {}
    for number, (title, frequency_hz) in enumerate(
        [("Low River", 110.0), ("Tin Whistle", 1760.0), ("Late Arrival", 440.0)]
    ):
        path = folder / f"{title.lower().replace(' ', '-')}.flac"
        tags = {"title": title, "artist": "The Oscillators", "genre": "Test Tones"}
        write_audio(path, tone(frequency_hz, 32.0, number), RATE_HZ, tags=tags)
        made[title] = path
    return made


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, songs: dict[str, Path]) -> Iterator[str]:
    """A running `muquery serve` with the tiny bundle and two tracks in its library."""
    data = tmp_path_factory.mktemp("data")
    with serving(environment(data, f"sqlite:///{data / 'muquery.sqlite3'}")) as server:
        for title in ("Low River", "Tin Whistle"):
            with songs[title].open("rb") as body:
                answer = httpx.post(f"{server.api}/tracks", files={"file": body}, timeout=60)
            assert answer.status_code == 202, answer.text
        ready = {"state": "ready"}
        eventually(
            lambda: httpx.get(f"{server.api}/tracks", params=ready).json()["total"] == 2, READY_S
        )
        yield server.url


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Headless Chromium with an empty profile."""
    if CHROMIUM is None or DRIVER is None:
        if os.environ.get("MUQUERY_TEST_BROWSER") == "required":
            pytest.fail("no chromium and chromedriver here, and MUQUERY_TEST_BROWSER is required")
        pytest.skip("SKIPPED LOUDLY: no chromium and chromedriver here, the page is NOT tested")
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()
