"""Dropping files on the page, and using it where a key is asked for."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.support.process import environment, run_muquery, serving
from tests.web.driving import open_page, titles, until

pytestmark = pytest.mark.browser

# A real drop cannot be made from outside the browser; the events and the file are real ones.
DROP = """
const [name, bytes] = arguments;
const transfer = new DataTransfer();
const content = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
transfer.items.add(new File([content], name, { type: "audio/flac" }));
for (const kind of ["dragenter", "dragover", "drop"]) {
  window.dispatchEvent(new DragEvent(kind, {
    dataTransfer: transfer, bubbles: true, cancelable: true,
  }));
}
"""


def drop(browser: Chrome, path: Path) -> None:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    browser.execute_script(DROP, path.name, content)


def test_dropped_files_are_uploaded(
    browser: Chrome, address: str, songs: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.flac"
    broken.write_bytes(songs["Low River"].read_bytes()[:40])
    open_page(browser, address)
    drop(browser, songs["Low River"])
    drop(browser, broken)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .done"))
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .failed"))
    veil = browser.find_element(By.ID, "drop-veil")
    assert not veil.is_displayed()


def test_the_page_asks_for_a_key_and_uses_it(
    browser: Chrome, songs: dict[str, Path], tmp_path: Path
) -> None:
    env = environment(tmp_path, f"sqlite:///{tmp_path / 'keys.sqlite3'}", REQUIRE_KEY="true")
    made = run_muquery("key", "create", "--name", "page", "--scope", "write", env=env)
    assert made.returncode == 0, made.stderr
    key = next(word for word in made.stdout.split() if word.startswith("mq"))
    with serving(env) as server:
        browser.get("about:blank")
        browser.get(f"{server.url}/#/")
        field = until(browser, lambda b: b.find_element(By.ID, "key"))
        field.send_keys(key)
        field.submit()
        until(browser, lambda b: b.find_elements(By.ID, "q"))
        drop(browser, songs["Tin Whistle"])
        until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .done"))
        browser.find_element(By.ID, "q").send_keys("a whistle")
        until(browser, lambda b: titles(b) == ["Tin Whistle"])
        browser.find_element(By.CSS_SELECTOR, ".passage").click()
        until(
            browser,
            lambda b: not b.find_element(By.CSS_SELECTOR, ".player-time").text.startswith("–"),
        )
        playing = browser.find_element(By.CSS_SELECTOR, ".player button")
        until(browser, lambda _: playing.get_attribute("aria-label") == "Pause")
        browser.execute_script("sessionStorage.clear()")
