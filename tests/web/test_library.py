"""The library and its tracks: choosing, changing, deleting, and taking it back."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By

from tests.support.audio import write_audio
from tests.support.process import environment, serving
from tests.support.service import eventually
from tests.web.conftest import RATE_HZ, READY_S, tone
from tests.web.driving import (
    find,
    location,
    open_page,
    press,
    press_and_hold,
    rows,
    texts,
    titles,
    until,
)

pytestmark = pytest.mark.browser

NAMES = ("Alpha", "Beta", "Delta", "Gamma")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of its own with four tracks, because these tests change and delete."""
    folder = tmp_path_factory.mktemp("shelf")
    with serving(environment(folder, f"sqlite:///{folder / 'muquery.sqlite3'}")) as server:
        for number, name in enumerate(NAMES):
            path = folder / f"{name.lower()}.flac"
            tags = {"title": name, "artist": "Greek" if number % 2 else "Letters"}
            write_audio(path, tone(200.0 + 150 * number, 12.0, number), RATE_HZ, tags=tags)
            with path.open("rb") as body:
                httpx.post(f"{server.api}/tracks", files={"file": body}, timeout=60)
        eventually(lambda: ready(server.url) == len(NAMES), READY_S)
        yield server.url


def ready(url: str) -> int:
    answer = httpx.get(f"{url}/api/v1/tracks", params={"state": "ready"}, timeout=30)
    return int(answer.json()["total"])


def open_library(browser: Chrome, shelf: str, view: str = "#/library?sort=title") -> None:
    open_page(browser, shelf, view)
    until(browser, lambda b: rows(b) == list(NAMES))


def nothing_noted(browser: Chrome) -> bool:
    script = "return localStorage.getItem('muquery.deletions')"
    return browser.execute_script(script) is None


def tick(browser: Chrome, title: str) -> None:
    press(browser, f"input[aria-label='Select {title}']")


def test_the_library_sorts_filters_and_keeps_it_in_the_address(browser: Chrome, shelf: str) -> None:
    open_library(browser, shelf)
    press(browser, "th.artist .sort-button")
    until(browser, lambda b: rows(b) in (["Beta", "Gamma", "Alpha", "Delta"],
                                         ["Gamma", "Beta", "Delta", "Alpha"]))  # fmt: skip
    assert find(browser, "th.artist").get_attribute("aria-sort") == "ascending"
    find(browser, "#library-filter").send_keys("alp")
    until(browser, lambda b: rows(b) == ["Alpha"])
    browser.back()
    until(browser, lambda b: len(rows(b)) == 4)
    press(browser, "input[data-key='artist/\"Greek\"']")
    until(browser, lambda b: sorted(rows(b)) == ["Beta", "Gamma"])
    shared = location(browser)
    open_page(browser, shelf, shared)
    until(browser, lambda b: sorted(rows(b)) == ["Beta", "Gamma"])


def test_a_run_is_chosen_with_shift_and_changed_and_changed_back(
    browser: Chrome, shelf: str
) -> None:
    open_library(browser, shelf)
    tick(browser, "Alpha")
    last = find(browser, "input[aria-label='Select Delta']")
    ActionChains(browser).key_down(Keys.SHIFT).click(last).key_up(Keys.SHIFT).perform()
    until(browser, lambda b: texts(b, ".selection-count") == ["3 tracks selected"])
    press(browser, ".bulk-edit")
    press(browser, "dialog input[aria-label='Change album']")
    browser.switch_to.active_element.send_keys("Together")
    press(browser, "dialog .button.primary")
    column = ".tracks tbody td:nth-of-type(4)"
    until(browser, lambda b: texts(b, column) == ["Together", "Together", "Together", "–"])
    press(browser, ".toast-action")
    until(browser, lambda b: texts(b, column) == ["–", "–", "–", "–"])


def test_a_deletion_can_be_taken_back(browser: Chrome, shelf: str) -> None:
    open_library(browser, shelf)
    tick(browser, "Beta")
    tick(browser, "Gamma")
    press_and_hold(browser, ".bulk-delete")
    until(browser, lambda b: rows(b) == ["Alpha", "Delta"])
    assert ready(shelf) == 4, "the service heard of it before the time for second thoughts is over"
    press(browser, ".toast-action")
    until(browser, lambda b: rows(b) == list(NAMES))
    assert ready(shelf) == 4
    assert nothing_noted(browser)


def test_a_track_is_edited_and_has_neighbours_and_spans(browser: Chrome, shelf: str) -> None:
    open_library(browser, shelf)
    press(browser, ".tracks tbody th a")
    until(browser, lambda b: b.find_element(By.TAG_NAME, "h1").text == "Alpha")
    until(browser, lambda b: len(titles(b)) == 3)
    assert "Alpha" not in titles(browser)
    press(browser, ".track-head .button:nth-of-type(4)")
    labels = browser.find_elements(By.CSS_SELECTOR, "dialog .meta-form .field label")
    year = next(each for each in labels if each.text == "Year").get_attribute("for")
    find(browser, f"#{year}").send_keys("next")
    press(browser, "dialog .button.primary")
    assert "whole number" in find(browser, "dialog .field-error").text
    find(browser, f"#{year}").clear()
    find(browser, f"#{year}").send_keys("1987")
    press(browser, "dialog .extra > .button")
    browser.switch_to.active_element.send_keys("bpm", Keys.TAB, "120")
    press(browser, "dialog .button.primary")
    until(browser, lambda b: {"1987", "120"} <= set(texts(b, ".facts-list dd")))
    find(browser, ".time-input").send_keys("0:02", Keys.TAB, "0:08", Keys.TAB)
    press(browser, ".span-row .button:nth-of-type(2)")
    until(browser, lambda b: "p=span%3A1%3A2-8%3A" in location(b))
    until(browser, lambda b: texts(b, ".search .chip-label") == ["like 0:02–0:08 of Alpha"])


def test_what_waits_for_deletion_is_deleted_when_the_page_is_left(
    browser: Chrome, shelf: str
) -> None:
    open_library(browser, shelf)
    tick(browser, "Delta")
    press_and_hold(browser, ".bulk-delete")
    until(browser, lambda b: rows(b) == ["Alpha", "Beta", "Gamma"])
    assert ready(shelf) == 4
    browser.get("about:blank")
    eventually(lambda: ready(shelf) == 3)


def test_a_deletion_is_done_when_nobody_takes_it_back(browser: Chrome, shelf: str) -> None:
    open_page(browser, shelf, "#/library?sort=title")
    until(browser, lambda b: "Gamma" in rows(b))
    press(browser, "button[aria-label='Delete Gamma']")
    until(browser, lambda b: "Gamma" not in rows(b))
    eventually(lambda: ready(shelf) == 2, 30)
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, ".toast"))
    until(browser, nothing_noted)


def test_a_deletion_that_a_closed_page_left_behind_is_asked_about(
    browser: Chrome, shelf: str
) -> None:
    left = httpx.get(f"{shelf}/api/v1/tracks", timeout=30).json()["items"][0]
    open_page(browser, shelf, "#/library")
    until(browser, lambda b: left["title"] in rows(b))
    browser.execute_script(
        "localStorage.setItem('muquery.deletions',"
        " JSON.stringify({old: {ids: [arguments[0]], seen: 0}}))",
        left["id"],
    )
    open_page(browser, shelf, "#/library")
    assert left["title"] in find(browser, "dialog").text
    press(browser, "dialog .dialog-foot .button:first-child")
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, "dialog"))
    assert left["title"] in rows(browser)
    assert nothing_noted(browser)
