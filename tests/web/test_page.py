"""The main ways through the page, in a real browser against a real service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.browser

PATIENCE_S = 40


def until(browser: Chrome, condition: Callable[[Chrome], Any]) -> Any:
    # Views replace their elements while they load: look again instead of failing on an old one.
    wait = WebDriverWait(
        browser, PATIENCE_S, poll_frequency=0.1, ignored_exceptions=[StaleElementReferenceException]
    )
    return wait.until(condition)


def open_page(browser: Chrome, address: str, view: str = "#/") -> None:
    browser.get("about:blank")
    browser.get_log("browser")  # what earlier tests provoked is theirs
    browser.get(f"{address}/{view}")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "main > *"))


def titles(browser: Chrome) -> list[str]:
    """Titles of the hits, read in one step: rows are replaced while a person types."""
    script = "return [...document.querySelectorAll('.hit h3')].map((n) => n.textContent)"
    return list(browser.execute_script(script))


def search_for(browser: Chrome, text: str) -> list[str]:
    box = browser.find_element(By.ID, "q")
    box.clear()
    box.send_keys(text)
    until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, ".hit")) >= 2)
    return titles(browser)


def severe_messages(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_typing_a_sentence_shows_tracks_with_passages(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    assert set(search_for(browser, "a low tone")) >= {"Low River", "Tin Whistle"}
    row = browser.find_element(By.CSS_SELECTOR, ".hit")
    assert row.find_elements(By.CSS_SELECTOR, ".passage"), "no passages were offered"
    assert "The Oscillators" in row.text
    canvas = row.find_element(By.CSS_SELECTOR, "canvas")
    painted = until(
        browser,
        lambda b: b.execute_script(
            "const c = arguments[0]; const d = c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data; return d.some((v) => v > 0);",
            canvas,
        ),
    )
    assert painted
    assert severe_messages(browser) == []


def test_a_passage_plays_from_its_start(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    search_for(browser, "something that sounds")
    passage = browser.find_elements(By.CSS_SELECTOR, ".hit .passage")[0]
    start_text = passage.find_element(By.CSS_SELECTOR, ".passage-time").text.split("–")[0]
    minutes, seconds = start_text.split(":")
    start_s = int(minutes) * 60 + int(seconds)
    passage.click()
    until(browser, lambda b: b.find_element(By.ID, "player").is_displayed())
    clock = until(
        browser,
        lambda b: (
            text
            if (text := b.find_element(By.CSS_SELECTOR, ".player-time").text.split(" / ")[0])
            and int(text.split(":")[0]) * 60 + int(text.split(":")[1]) >= start_s
            else False
        ),
    )
    played_s = int(clock.split(":")[0]) * 60 + int(clock.split(":")[1])
    assert start_s <= played_s <= start_s + 12


def test_more_like_this_leaves_the_track_itself_out(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    first = search_for(browser, "a low tone")[0]
    browser.find_element(By.CSS_SELECTOR, ".hit .hit-actions button").click()
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".chip"))
    until(browser, lambda b: titles(b) and first not in titles(b))
    browser.find_element(By.CSS_SELECTOR, ".chip-remove").click()
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, ".chip"))


def test_the_keyboard_alone_searches_and_seeks(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    assert browser.switch_to.active_element.get_attribute("id") == "q"
    browser.switch_to.active_element.send_keys("a high tone", Keys.ENTER)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".hit"))
    for _ in range(12):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("role") == "slider":
            break
    wave = browser.switch_to.active_element
    assert wave.get_attribute("role") == "slider", "the waveform cannot be reached by Tab"
    wave.send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda b: b.find_element(By.ID, "player").is_displayed())
    until(browser, lambda _: int(wave.get_attribute("aria-valuenow")) >= 5)


def test_an_uploaded_file_becomes_searchable(
    browser: Chrome, address: str, songs: dict[str, Path]
) -> None:
    open_page(browser, address)
    picker = browser.find_element(By.ID, "file-picker")
    browser.execute_script("arguments[0].hidden = false", picker)
    picker.send_keys(str(songs["Late Arrival"]))
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .done"))
    search_for(browser, "any tone at all")
    until(browser, lambda b: "Late Arrival" in titles(b))
    browser.execute_script("arguments[0].hidden = false", picker)
    picker.send_keys(str(songs["Late Arrival"]))
    until(
        browser,
        lambda b: "Already" in b.find_element(By.CSS_SELECTOR, ".upload-list li").text,
    )


def test_a_file_that_is_not_audio_says_why(browser: Chrome, address: str, tmp_path: Path) -> None:
    fake = tmp_path / "words.mp3"
    fake.write_text("these are words, not music " * 50)
    open_page(browser, address)
    picker = browser.find_element(By.ID, "file-picker")
    browser.execute_script("arguments[0].hidden = false", picker)
    picker.send_keys(str(fake))
    failed = until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .failed"))
    assert "audio" in failed[0].text.lower()


def test_the_library_lists_and_filters(browser: Chrome, address: str) -> None:
    open_page(browser, address, "#/library")
    until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, ".tracks tbody tr")) >= 2)
    browser.find_element(By.ID, "library-filter").send_keys("whistle")
    until(
        browser,
        lambda b: (
            [n.text for n in b.find_elements(By.CSS_SELECTOR, ".tracks tbody th")]
            == ["Tin Whistle"]
        ),
    )


def test_a_track_has_a_view_with_its_neighbours(browser: Chrome, address: str) -> None:
    open_page(browser, address, "#/library")
    until(browser, lambda b: b.find_elements(By.LINK_TEXT, "Low River"))
    browser.find_element(By.LINK_TEXT, "Low River").click()
    until(browser, lambda b: b.find_element(By.TAG_NAME, "h1").text == "Low River")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".hit"))
    assert "Low River" not in titles(browser)


@pytest.mark.parametrize("view", ["#/", "#/library", "#/activity", "#/about"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_fit_a_phone_in_both_schemes(
    browser: Chrome, address: str, view: str, scheme: str
) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        open_page(browser, address, view)
        until(browser, lambda b: b.execute_script("return document.readyState") == "complete")
        overflow = browser.execute_script(
            "return document.documentElement.scrollWidth - window.innerWidth"
        )
        assert overflow <= 0
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(v) for v in paper.strip("rgb()").split(",")[:3]) / 3
        assert brightness > 200 if scheme == "light" else brightness < 60
        assert severe_messages(browser) == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
