"""Putting a query together: parts, weights, modes, filters, and the address that holds it all."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tests.web.driving import (
    find,
    location,
    open_page,
    press,
    search_for,
    severe_messages,
    texts,
    titles,
    type_text,
    until,
)

pytestmark = pytest.mark.browser

# Several answers, as given to the page: the slow one must not be shown over the quick one.
DELAY_FIRST = """
const real = window.fetch;
let held = false;
window.fetch = async (...call) => {
  const isSearch = String(call[0]).endsWith("/search");
  if (isSearch && !held) {
    held = true;
    const answer = await real(call[0], { ...call[1], signal: undefined });
    await new Promise((go) => setTimeout(go, 2500));
    window.heldWasAnswered = true;
    return answer;
  }
  return real(...call);
};
"""


def chips(browser: Chrome) -> list[str]:
    return texts(browser, ".search .chip .chip-label")


def test_texts_become_parts_with_weights_and_a_not(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    search_for(browser, "a low tone")
    find(browser, "#q").send_keys(Keys.CONTROL, Keys.ENTER)
    until(browser, lambda b: chips(b) == ["“a low tone”"])
    assert find(browser, "#q").get_attribute("value") == ""
    find(browser, "#q").send_keys("whistling")
    press(browser, ".search-tools button[title*='Alt']")
    until(browser, lambda b: len(chips(b)) == 2)
    assert browser.find_elements(By.CSS_SELECTOR, ".search .chip.negative")
    slider = browser.find_elements(By.CSS_SELECTOR, ".search .chip-weight")[1]
    slider.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    until(browser, lambda b: "p=text%3A-0.8%3Awhistling" in location(b))
    assert slider == browser.switch_to.active_element, "the slider lost the focus while moving"
    until(browser, lambda b: len(titles(b)) >= 2)
    press(browser, ".search .chip.negative .chip-not")
    until(browser, lambda b: "p=text%3A0.8%3Awhistling" in location(b))


def test_the_address_holds_the_query_and_back_leads_back(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    first = search_for(browser, "a low tone")
    press(browser, ".hit .more-like")
    until(browser, lambda b: len(chips(b)) == 1 and titles(b) and titles(b) != first)
    shared, found = location(browser), titles(browser)
    browser.back()
    until(browser, lambda b: chips(b) == [] and titles(b) == first)
    assert find(browser, "#q").get_attribute("value") == "a low tone"
    browser.back()
    until(browser, lambda b: find(b, "#q").get_attribute("value") == "")
    browser.forward()
    until(browser, lambda b: titles(b) == first)
    open_page(browser, address, shared)
    until(browser, lambda b: titles(b) == found)
    until(
        browser,
        lambda b: "…" not in chips(b)[0],
    )
    assert find(browser, "#q").get_attribute("value") == "a low tone"


def test_a_late_answer_is_not_shown_over_a_newer_one(browser: Chrome, address: str) -> None:
    open_page(browser, address, "#/?mode=words")
    find(browser, ".examples")
    browser.execute_script(DELAY_FIRST)
    type_text(browser, "river")
    until(browser, lambda b: "q=river" in location(b))
    browser.execute_script("return new Promise((go) => setTimeout(go, 400))")
    type_text(browser, "whistle")
    until(browser, lambda b: titles(b) == ["Tin Whistle"])
    until(browser, lambda b: b.execute_script("return window.heldWasAnswered === true"))
    assert titles(browser) == ["Tin Whistle"]


def test_words_find_by_name_and_say_so(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    search_for(browser, "tin whistle")
    assert titles(browser)[0] == "Tin Whistle"
    press(browser, ".hit [aria-controls^=why]")
    until(browser, lambda b: "words match in title" in find(b, ".hit-why").text)
    press(browser, ".segments label:nth-of-type(3)")
    until(browser, lambda b: titles(b) == ["Tin Whistle"])
    assert "mode=words" in location(browser)


def test_a_part_of_a_track_is_a_part_of_the_query(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    search_for(browser, "a low tone")
    press(browser, ".hit .passage-like")
    until(browser, lambda b: chips(b) and chips(b)[0].startswith("like 0:"))
    assert "p=span%3A1%3A" in location(browser)
    until(browser, lambda b: len(titles(b)) >= 1)
    assert severe_messages(browser) == []


def test_a_clip_searches_and_is_not_stored(
    browser: Chrome, address: str, songs: dict[str, Path]
) -> None:
    open_page(browser, address, "#/library")
    until(browser, lambda b: texts(b, ".tracks tbody th a"))
    before = len(texts(browser, ".tracks tbody tr"))
    open_page(browser, address)
    picker = browser.find_element(By.ID, "clip-picker")
    browser.execute_script("arguments[0].hidden = false", picker)
    picker.send_keys(str(songs["Low River"]))
    until(browser, lambda b: chips(b) == [f"like the clip {songs['Low River'].name}"])
    until(browser, lambda b: titles(b)[:1] == ["Low River"])
    shared = location(browser)
    open_page(browser, address, shared)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".search .chip.lost"))
    picker = browser.find_element(By.ID, "clip-picker")
    browser.execute_script("arguments[0].hidden = false", picker)
    picker.send_keys(str(songs["Low River"]))
    until(browser, lambda b: titles(b)[:1] == ["Low River"])
    assert not browser.find_elements(By.CSS_SELECTOR, ".search .chip.lost")
    open_page(browser, address, "#/library")
    until(browser, lambda b: len(texts(b, ".tracks tbody tr")) == before)


DROP_AS_CLIP = """
const [name, bytes] = arguments;
const transfer = new DataTransfer();
const content = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
transfer.items.add(new File([content], name, { type: "audio/flac" }));
const fire = (target, kind) => target.dispatchEvent(new DragEvent(kind, {
  dataTransfer: transfer, bubbles: true, cancelable: true,
}));
fire(window, "dragenter");
fire(document.querySelector('[data-drop="clip"]'), "dragover");
fire(document.querySelector('[data-drop="clip"]'), "drop");
"""


def test_a_dropped_clip_becomes_a_part(
    browser: Chrome, address: str, songs: dict[str, Path]
) -> None:
    open_page(browser, address)
    path = songs["Tin Whistle"]
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    browser.execute_script(DROP_AS_CLIP, path.name, content)
    until(browser, lambda b: chips(b) == [f"like the clip {path.name}"])
    until(browser, lambda b: titles(b)[:1] == ["Tin Whistle"])


def test_facets_narrow_the_answer_and_can_be_taken_away(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    search_for(browser, "any tone")
    press(browser, "input[data-key='artist/\"The Oscillators\"']")
    until(browser, lambda b: texts(b, ".active-filters .chip-label") == ["Artist: The Oscillators"])
    assert "f.artist" in location(browser)
    # The panel is drawn anew when its counts come: write again if that was in between.
    bound = "input[data-key='duration_s/lte']"
    until(browser, lambda b: find(b, bound).send_keys("0:10", Keys.TAB) is None)
    until(browser, lambda b: "Nothing matches" in find(b, ".results").text)
    press(browser, ".active-filters > .button")
    until(browser, lambda b: len(titles(b)) >= 2)
    assert "f." not in location(browser)


def test_a_mistyped_length_says_so(browser: Chrome, address: str) -> None:
    open_page(browser, address)
    length = find(browser, "input[data-key='duration_s/gte']")
    length.send_keys("soon", Keys.TAB)
    problem = find(browser, ".facet .field-error")
    assert "minutes:seconds" in problem.text
    assert length.get_attribute("aria-invalid") == "true"
