"""A real service and a real browser for the page's tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.audio import write_audio

selenium = pytest.importorskip(
    "selenium", reason="SKIPPED LOUDLY: selenium is not installed, the page is NOT tested"
)
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
START_S = 60.0
RATE_HZ = 24_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    data, port = tmp_path_factory.mktemp("data"), free_port()
    environment = os.environ | {
        "MUQUERY_DATA_DIR": str(data),
        "MUQUERY_MODEL": str(ROOT / "tests/data/tiny_bundle"),
        "MUQUERY_DEMO_LIBRARY": "false",
        "MUQUERY_PORT": str(port),
    }
    log = (data / "serve.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "muquery", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: httpx.get(f"{base}/api/v1/health/ready").status_code == 200, process)
        for title in ("Low River", "Tin Whistle"):
            with songs[title].open("rb") as body:
                answer = httpx.post(f"{base}/api/v1/tracks", files={"file": body})
            assert answer.status_code == 202, answer.text
        wait_until(
            lambda: (
                httpx.get(f"{base}/api/v1/tracks", params={"state": "ready"}).json()["total"] == 2
            ),
            process,
        )
        yield base
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def wait_until(condition: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended by itself"
        with contextlib.suppress(httpx.TransportError):
            if condition():  # type: ignore[operator]
                return
        time.sleep(0.2)
    raise AssertionError(f"not reached within {START_S:.0f} s")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Headless Chromium with an empty profile."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("SKIPPED LOUDLY: no chromium and chromedriver here, the page is NOT tested")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage",
        "--window-size=1200,900", f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()
