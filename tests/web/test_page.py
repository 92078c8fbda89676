"""The main ways through the page, in a real browser against a real service."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tests.web.driving import (
    VIEWS,
    find,
    looking,
    open_page,
    press,
    search_for,
    severe_messages,
    texts,
    titles,
    until,
)

pytestmark = pytest.mark.browser


def seconds(text: str) -> int:
    minutes, rest = text.split(":")
    return int(minutes) * 60 + int(rest)


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
    start_s = seconds(passage.find_element(By.CSS_SELECTOR, ".passage-time").text.split("–")[0])
    passage.click()
    until(browser, lambda b: b.find_element(By.ID, "player").is_displayed())
    clock = until(
        browser,
        lambda b: (
            text
            if (text := b.find_element(By.CSS_SELECTOR, ".player-time").text.split(" / ")[0])
            and seconds(text) >= start_s
            else False
        ),
    )
    assert start_s <= seconds(clock) <= start_s + 12


def test_more_like_this_leaves_the_track_itself_out(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    first = search_for(browser, "a low tone")[0]
    press(browser, ".hit .more-like")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".search .chip"))
    until(browser, lambda b: titles(b) and first not in titles(b))
    press(browser, ".chip-remove")
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, ".search .chip"))
    until(browser, lambda b: first in titles(b))


def test_the_keyboard_alone_searches_and_seeks(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    assert browser.switch_to.active_element.get_attribute("id") == "q"
    browser.switch_to.active_element.send_keys("a high tone", Keys.ENTER)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".hit"))
    browser.execute_script("document.activeElement.blur()")
    browser.find_element(By.TAG_NAME, "body").send_keys("j")
    assert "hit" in (browser.switch_to.active_element.get_attribute("class") or "")
    for _ in range(6):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("role") == "slider":
            break
    wave = browser.switch_to.active_element
    assert wave.get_attribute("role") == "slider", "the waveform cannot be reached by Tab"
    wave.send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda b: b.find_element(By.ID, "player").is_displayed())
    until(browser, lambda _: int(wave.get_attribute("aria-valuenow")) >= 5)


def test_the_keys_are_listed_and_letters_can_be_switched_off(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    find(browser, ".examples")
    body = browser.find_element(By.TAG_NAME, "body")
    browser.execute_script("document.activeElement.blur()")
    body.send_keys("?")
    dialog = find(browser, "dialog")
    assert "next row" in dialog.text
    press(browser, "dialog input[type=checkbox]")
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, "dialog"))
    try:
        browser.execute_script("document.activeElement.blur()")
        body.send_keys("/")
        assert browser.switch_to.active_element.get_attribute("id") != "q"
    finally:
        browser.execute_script("localStorage.clear()")


def pick_file(browser: Chrome, path: Path) -> None:
    picker = browser.find_element(By.ID, "file-picker")
    browser.execute_script("arguments[0].hidden = false", picker)
    picker.send_keys(str(path))


def test_an_uploaded_file_becomes_searchable(
    browser: Chrome, address: str, songs: dict[str, Path]
) -> None:
    open_page(browser, address)
    pick_file(browser, songs["Late Arrival"])
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .done"))
    search_for(browser, "any tone at all")
    until(browser, lambda b: "Late Arrival" in titles(b))
    pick_file(browser, songs["Late Arrival"])
    until(browser, lambda b: any("Already" in text for text in texts(b, ".upload-list li")))


def test_a_file_that_is_not_audio_says_why_and_can_be_tried_again(
    browser: Chrome, address: str, tmp_path: Path
) -> None:
    fake = tmp_path / "words.mp3"
    fake.write_text("these are words, not music " * 50)
    open_page(browser, address)
    pick_file(browser, fake)
    failed = until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .failed"))
    assert "audio" in failed[0].text.lower()
    press(browser, ".upload-list .failed button")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".upload-list .failed"))
    assert len(browser.find_elements(By.CSS_SELECTOR, ".upload-list li")) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_views_fit_a_phone_in_both_schemes(
    browser: Chrome, address: str, view: str, scheme: str
) -> None:
    with looking(browser, scheme, 360, 740):
        open_page(browser, address, view)
        until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, "main .ghost"))
        overflow = browser.execute_script(
            "return document.documentElement.scrollWidth - window.innerWidth"
        )
        assert overflow <= 0
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(v) for v in paper.strip("rgb()").split(",")[:3]) / 3
        assert brightness > 200 if scheme == "light" else brightness < 60
        assert severe_messages(browser) == []
