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

from tests.support.process import ROOT, environment, serving
from tests.support.service import eventually
from tests.web.browser import start_browser

OUT = ROOT / "docs" / "images"
QUERY = "heavy distorted electric guitars with fast drums"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        env = environment(folder, f"sqlite:///{folder / 'library.sqlite3'}", DEMO_LIBRARY="true")
        env.pop("MUQUERY_MODEL")
        with serving(env) as server:
            ready = {"state": "ready", "limit": 1}
            eventually(
                lambda: (
                    httpx.get(f"{server.api}/tracks", params=ready, timeout=60).json()["total"]
                    >= 30
                ),
                300,
            )
            browser = start_browser(folder / "profile")
            try:
                take_all(browser, server.url)
            finally:
                browser.quit()


def take_all(browser: Chrome, url: str) -> None:
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        open_view(browser, f"{url}/#/", ".examples")
        browser.find_element(By.ID, "q").send_keys(QUERY)
        wait_for(browser, ".hit")
        save(browser, f"search-{scheme}")
        open_view(browser, f"{url}/#/library", ".tracks tbody tr")
        save(browser, f"library-{scheme}")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
    )
    open_view(browser, f"{url}/#/", ".examples")
    browser.find_element(By.ID, "q").send_keys(QUERY)
    wait_for(browser, ".hit")
    save(browser, "search-phone")


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
