"""Changing the model from the page, with workers that are killed and come back meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.support.process import environment, serving
from tests.support.service import eventually
from tests.web.driving import (
    find,
    open_page,
    press,
    search_for,
    severe_messages,
    texts,
    titles,
    until,
)

pytestmark = pytest.mark.browser

WAIT_S = 120.0


@dataclass
class Library:
    """A service that only answers, its workers being processes of their own."""

    url: str
    env: dict[str, str]

    @contextmanager
    def worked_on(self) -> Iterator[None]:
        """With a worker, which is killed after the block."""
        with subprocess.Popen([sys.executable, "-m", "muquery", "worker"], env=self.env) as worker:
            try:
                yield
            finally:
                worker.kill()

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}/api/v1{path}", timeout=60).json()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, songs: dict[str, Path]) -> Iterator[Library]:
    """Two analysed tracks, and nobody who works."""
    data = tmp_path_factory.mktemp("changing")
    url = f"sqlite:///{data / 'muquery.sqlite3'}"
    env = environment(data, url, WORKER="off", JOB_LEASE_S="2")
    with serving(env) as server:
        found = Library(server.url, env)
        for title in ("Low River", "Tin Whistle"):
            with songs[title].open("rb") as body:
                httpx.post(f"{server.api}/tracks", files={"file": body}, timeout=60)
        with found.worked_on():
            eventually(lambda: found.get("/tracks?state=ready")["total"] == 2, WAIT_S)
        yield found


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with other weights."""
    from tests.support.make_tiny_bundle import main

    folder = tmp_path_factory.mktemp("bundle") / "other"
    main(folder, seed=8)
    return folder


def in_use(browser: Chrome) -> str:
    """The identity of the model in use, whose facts stand first."""
    names, values = texts(browser, ".facts-list dt"), texts(browser, ".facts-list dd")
    return values[names.index("Identity")] if "Identity" in names else ""


def test_that_nobody_works_is_said(browser: Chrome, library: Library) -> None:
    eventually(lambda: library.get("/workers")["problem"], WAIT_S)
    open_page(browser, library.url, "#/activity")
    until(browser, lambda b: "Nobody is there" in find(b, "[role=status] .warning").text)
    open_page(browser, library.url, "#/system/model")
    until(browser, lambda b: texts(b, ".workers .state") == ["not heard of"])
    with library.worked_on():
        eventually(lambda: library.get("/workers")["problem"] is None, WAIT_S)
        open_page(browser, library.url, "#/system/model")
        until(browser, lambda b: "ready" in texts(b, ".workers .state"))
        assert severe_messages(browser) == []


def test_a_model_is_added_changed_to_and_the_old_one_pruned(
    browser: Chrome, library: Library, other_bundle: Path
) -> None:
    (old,) = (model["model_id"] for model in library.get("/models")["items"])
    open_page(browser, library.url, "#/system/model")
    press(browser, ".section-head .button")
    source = find(browser, "dialog input")
    source.send_keys("/nowhere/at/all")
    press(browser, "dialog .button.primary")
    until(browser, lambda b: "no model" in find(b, "dialog .field-error").text)
    source.clear()
    source.send_keys(str(other_bundle))
    press(browser, "dialog .button.primary")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".model"))
    new = next(m["model_id"] for m in library.get("/models")["items"] if m["model_id"] != old)

    # Nobody works, so the change stands still: long enough to be given up.
    _activate(browser)
    until(browser, lambda b: "0 of 2 tracks" in find(b, ".card progress + .hint").text)
    assert in_use(browser) == old
    press(browser, ".card[aria-label] .actions .button")
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, ".card progress"))
    assert library.get("/models")["change"] is None

    _activate(browser)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".card progress"))
    with library.worked_on():
        # The view looks by itself until the change is over.
        until(browser, lambda b: in_use(b) == new)
    assert not browser.find_elements(By.CSS_SELECTOR, ".card progress")
    assert library.get("/search?q=a+low+tone")["model_id"] == new
    open_page(browser, library.url)
    search_for(browser, "a low tone")
    assert sorted(titles(browser)) == ["Low River", "Tin Whistle"]

    open_page(browser, library.url, "#/system/model")
    press(browser, ".model summary")
    press(browser, ".model .actions .button.quiet")
    press(browser, "dialog .button.danger")
    until(browser, lambda b: in_use(b) == new and not b.find_elements(By.CSS_SELECTOR, ".model"))
    assert [model["model_id"] for model in library.get("/models")["items"]] == [new]
    assert severe_messages(browser) == []


def _activate(browser: Chrome) -> None:
    """Open the other model's card and change to it."""
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".model"))
    if not browser.find_elements(By.CSS_SELECTOR, ".model[open]"):
        press(browser, ".model summary")
    press(browser, ".model .actions .button:not(.quiet)")
    press(browser, "dialog .button.primary")
