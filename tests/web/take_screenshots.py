"""Make the pictures in docs/images from a real service: `python -m tests.web.take_screenshots`.

Uses the bundled model and the demo library, so the pictures show what a new user sees.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import httpx
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.audio import write_audio
from tests.support.process import ROOT, environment, serving
from tests.support.service import eventually
from tests.web.browser import start_browser
from tests.web.conftest import RATE_HZ, tone

OUT = ROOT / "docs" / "images"
TRACK = "Armygeddon"
SEARCH = "#/?q=heavy+distorted+electric+guitars+with+fast+drums&p=text%3A-0.5%3Acalm+piano"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        env = environment(folder, f"sqlite:///{folder / 'library.sqlite3'}", DEMO_LIBRARY="true")
        env.pop("MUQUERY_MODEL")
        music = folder / "archive"
        music.mkdir()
        for number, name in enumerate(("one", "two", "three")):
            write_audio(music / f"{name}.flac", tone(220.0 * (number + 1), 25.0, number), RATE_HZ)
        (music / "scan.mp3").write_text("this is a letter, not music")
        env["MUQUERY_IMPORT_ROOTS"] = str(music)
        with serving(env) as server:
            ready = {"state": "ready", "limit": 1}
            eventually(
                lambda: (
                    httpx.get(f"{server.api}/tracks", params=ready, timeout=60).json()["total"]
                    >= 30
                ),
                300,
            )
            prepare(server.api, music)
            browser = start_browser(folder / "profile")
            try:
                take_all(browser, server.url)
            finally:
                browser.quit()


def take_all(browser: Chrome, url: str) -> None:
    """Each view in light and in dark, and the two that matter most on a phone."""
    track = httpx.get(f"{url}/api/v1/tracks", params={"q": TRACK}, timeout=60).json()["items"][0]
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        for name, view, selector, press in views(track["id"]):
            open_view(browser, f"{url}/{view}", selector)
            for each in press:
                browser.find_element(By.CSS_SELECTOR, each).click()
            save(browser, f"{name}-{scheme}")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True},
    )
    for scheme, name, view, selector in (
        ("light", "search-phone", SEARCH, ".hit"),
        ("dark", "track-phone", f"#/track/{track['id']}", ".tag-row"),
    ):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        open_view(browser, f"{url}/{view}", selector)
        save(browser, name)


def views(track_id: str) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Name, address, what must be there, and what is pressed before the picture is taken."""
    return [
        ("start", "#/", "body:has(.examples) .facet", ()),
        ("search", SEARCH, ".hit", (".hit [aria-controls^=why]",)),
        ("library", "#/library?sort=title", ".tracks tbody tr",
         ("tr:nth-child(2) .tick input", "tr:nth-child(4) .tick input")),
        ("track", f"#/track/{track_id}", ".tag-row", ()),
        ("activity", "#/activity", ".failed-files summary", (".failed-files summary",)),
        ("tags", "#/tags/standard/mood/calm", ".histogram", ()),
        ("model", "#/system/model", ".facts-list", ()),
        ("keys", "#/system/keys", ".plain-table", ()),
        ("audit", "#/system/audit", ".plain-table", ()),
    ]  # fmt: skip


def prepare(api: str, folder: Path) -> None:
    """Something to see in each view: keys, and a batch with a file that is not audio."""
    for name, scope in (("website", "read"), ("ingest of the archive", "write")):
        made = httpx.post(f"{api}/keys", json={"name": name, "scopes": [scope]}, timeout=60)
        assert made.status_code == 201, made.text
    batch = httpx.post(
        f"{api}/imports",
        json={"source": "folder", "folder": str(folder), "name": "Archive"},
        timeout=60,
    )
    assert batch.status_code == 201, batch.text
    ended = f"{api}/imports/{batch.json()['id']}"
    eventually(lambda: httpx.get(ended, timeout=60).json()["state"] == "done", 300)


def open_view(browser: Chrome, address: str, selector: str) -> None:
    browser.get("about:blank")
    browser.get(address)
    wait_for(browser, selector)


def wait_for(browser: Chrome, selector: str) -> None:
    WebDriverWait(browser, 60).until(lambda b: b.find_elements(By.CSS_SELECTOR, selector))


def save(browser: Chrome, name: str) -> None:
    time.sleep(1.5)  # waveforms arrive after their rows
    path = OUT / f"{name}.png"
    browser.save_screenshot(str(path))
    sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
