"""What the page's tests do all the time: open a view, wait, read, press."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 60
VIEWS = ("#/", "#/library", "#/activity", "#/tags", "#/system/model", "#/system/keys",
         "#/system/audit")  # fmt: skip
# Views replace their elements while they load: look again instead of failing on an old one.
PASSING = (
    StaleElementReferenceException,
    NoSuchElementException,
    ElementNotInteractableException,
)


def until(browser: Chrome, condition: Callable[[Chrome], Any]) -> Any:
    wait = WebDriverWait(browser, PATIENCE_S, poll_frequency=0.1, ignored_exceptions=PASSING)
    return wait.until(condition)


def open_page(browser: Chrome, address: str, view: str = "#/") -> None:
    """Load the page anew, at a view."""
    browser.get("about:blank")
    browser.get_log("browser")  # what earlier tests provoked is theirs
    browser.get(f"{address}/{view}")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "main > *"))


def find(browser: Chrome, selector: str) -> WebElement:
    """The first visible element, waited for."""

    def visible(_: Chrome) -> WebElement | None:
        found = browser.find_elements(By.CSS_SELECTOR, selector)
        return next((element for element in found if element.is_displayed()), None)

    return until(browser, visible)


def press(browser: Chrome, selector: str) -> None:
    """Click the first visible match, in one step that no redrawing can come between."""

    def click(_: Chrome) -> bool:
        find(browser, selector).click()
        return True

    until(browser, click)


HOLD = """
const [selector, done] = arguments;
document.querySelector(selector).click();
(function look() {
  const action = document.querySelector(".toast-action");
  if (action) { action.focus(); done(true); } else setTimeout(look, 20);
})();
"""


def press_and_hold(browser: Chrome, selector: str) -> None:
    """Press what can be taken back and focus the way back: it waits then, however slow this is."""
    find(browser, selector)
    browser.set_script_timeout(PATIENCE_S)
    browser.execute_async_script(HOLD, selector)


def texts(browser: Chrome, selector: str) -> list[str]:
    """The texts of all matches, read in one step: rows are replaced while a person types."""
    script = "return [...document.querySelectorAll(arguments[0])].map((n) => n.textContent.trim())"
    return list(browser.execute_script(script, selector))


def titles(browser: Chrome) -> list[str]:
    return texts(browser, ".hit:not([hidden]) h3")


def rows(browser: Chrome) -> list[str]:
    """Titles in the library's table."""
    return texts(browser, ".tracks tbody th a")


def type_text(browser: Chrome, text: str) -> None:
    """Write a text into the search box in place of what is there."""

    def write(_: Chrome) -> bool:
        box = find(browser, "#q")
        box.clear()
        box.send_keys(text)
        return True

    until(browser, write)


def search_for(browser: Chrome, text: str, *, at_least: int = 2) -> list[str]:
    type_text(browser, text)
    until(browser, lambda b: len(titles(b)) >= at_least)
    return titles(browser)


def location(browser: Chrome) -> str:
    return str(browser.execute_script("return location.hash"))


def severe_messages(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def show_in(browser: Chrome, scheme: str) -> None:
    """The page as who prefers this colour scheme sees it."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})


@contextmanager
def looking(browser: Chrome, scheme: str, width: int, height: int = 900) -> Iterator[None]:
    """The page as seen with a colour scheme, on a screen of some width."""
    show_in(browser, scheme)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
