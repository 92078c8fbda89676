"""axe-core over every view, light and dark, on a desktop's and a phone's screen.

axe-core is not part of this repository: MUQUERY_TEST_AXE names its `axe.min.js`, which `npm pack
axe-core` brings (`.ci/run` does that).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tests.web.driving import (
    VIEWS,
    find,
    looking,
    open_page,
    press,
    press_and_hold,
    search_for,
    show_in,
    titles,
    until,
)

pytestmark = pytest.mark.browser

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# What the colours alone decide is asked again in the dark.
OF_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
WIDTHS = (1200, 360)
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, { runOnly: arguments[0], resultTypes: ["violations"] })
  .then((result) => done(result.violations.map((rule) => ({
    rule: rule.id,
    what: rule.help,
    where: rule.nodes.map((node) => node.target.join(" ") + ": " + node.failureSummary),
  }))), (problem) => done([{ rule: "axe itself", what: String(problem), where: [] }]));
"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    path = os.environ.get("MUQUERY_TEST_AXE")
    if not path:
        if os.environ.get("MUQUERY_TEST_BROWSER") == "required":
            pytest.fail("MUQUERY_TEST_AXE does not name axe.min.js, and the browser is required")
        pytest.skip(
            "SKIPPED LOUDLY: MUQUERY_TEST_AXE names no axe.min.js, accessibility NOT tested"
        )
    return Path(path).read_text(encoding="utf-8")


def violations(browser: Chrome, axe: str) -> list[dict[str, Any]]:
    """What axe finds in the page as it is: by all rules in light, by those of colours in dark."""
    browser.set_script_timeout(120)
    browser.execute_script(axe)
    found = list(browser.execute_async_script(RUN, RULES))
    show_in(browser, "dark")
    until(browser, lambda b: not b.execute_script("return document.getAnimations().length"))
    found += browser.execute_async_script(RUN, OF_COLOURS)
    show_in(browser, "light")
    return found


def settled(browser: Chrome) -> None:
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, "main .ghost"))


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_in_any_view(browser: Chrome, address: str, axe: str, width: int) -> None:
    found = {}
    with looking(browser, "light", width):
        for view in VIEWS:
            open_page(browser, address, view)
            settled(browser)
            found[view] = violations(browser, axe)
        # A track is reached through the library, as a person does.
        open_page(browser, address, "#/library")
        press(browser, ".tracks tbody th a")
        until(browser, lambda b: titles(b))
        settled(browser)
        found["track"] = violations(browser, axe)
    assert {view: problems for view, problems in found.items() if problems} == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_while_the_page_is_used(
    browser: Chrome, address: str, axe: str, width: int
) -> None:
    found = {}
    with looking(browser, "light", width):
        open_page(browser, address)
        search_for(browser, "a low tone")
        find(browser, "#q").send_keys(Keys.CONTROL, Keys.ENTER)
        find(browser, "#q").send_keys("a whistle", Keys.ALT, Keys.ENTER)
        until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, ".search .chip")) == 2)
        until(browser, lambda b: titles(b))
        press(browser, ".hit [aria-controls^=why]")
        press(browser, "[aria-controls^=options]")
        if width < 900:
            press(browser, ".facets-open")
        press(browser, ".facet-value input")
        press(browser, ".hit .passage")
        settled(browser)
        found["a search with everything open"] = violations(browser, axe)
        open_page(browser, address, "#/library")
        press(browser, ".tracks tbody .tick input")
        found["a selection"] = violations(browser, axe)
        press(browser, ".bulk-edit")
        found["the dialog of a change"] = violations(browser, axe)
        browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, "dialog"))
        press_and_hold(browser, ".bulk-delete")
        found["a message"] = violations(browser, axe)
        press(browser, ".toast-action")
        open_page(browser, address, "#/system/keys")
        press(browser, ".section-head .button")
        found["the dialog of a key"] = violations(browser, axe)
    assert {view: problems for view, problems in found.items() if problems} == {}
