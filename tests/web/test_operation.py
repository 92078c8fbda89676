"""Batches, keys, the audit log, vocabularies and models, as a person meets them on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tests.support.audio import write_audio
from tests.support.process import environment, serving
from tests.support.service import eventually
from tests.web.conftest import RATE_HZ, tone
from tests.web.driving import PATIENCE_S, find, open_page, press, severe_messages, texts, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the server with two tracks and a file that is none."""
    folder = tmp_path_factory.mktemp("archive")
    for number, name in enumerate(("first", "second")):
        tags = {"title": name.title(), "artist": "Archive"}
        write_audio(
            folder / f"{name}.flac", tone(220.0 + 300 * number, 12.0, number), RATE_HZ, tags=tags
        )
    (folder / "letter.mp3").write_text("this is a letter, not music")
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[str]:
    """A service of its own that may read the archive."""
    data = tmp_path_factory.mktemp("desk")
    env = environment(data, f"sqlite:///{data / 'muquery.sqlite3'}", IMPORT_ROOTS=str(archive))
    with serving(env) as server:
        yield server.url


def test_a_folder_is_imported_and_its_bad_file_says_why(
    browser: Chrome, desk: str, archive: Path
) -> None:
    open_page(browser, desk, "#/activity")
    press(browser, ".section-head .button")
    path = find(browser, "dialog input")
    path.send_keys("/somewhere/else")
    press(browser, "dialog .button.primary")
    assert find(browser, "dialog .field-error").text
    path.clear()
    path.send_keys(str(archive))
    press(browser, "dialog .button.primary")
    until(browser, lambda b: texts(b, ".batch .job-what > .state") == ["Done"])
    assert "3 of 3 files" in find(browser, ".batch .hint").text
    press(browser, ".failed-files summary")
    until(browser, lambda b: "letter.mp3" in find(b, ".failures").text)
    assert "audio" in find(browser, ".failures").text.lower()
    (batch,) = httpx.get(f"{desk}/api/v1/imports").json()["items"]
    press(browser, ".batch .actions .button:nth-child(1)")

    def is_tried_again() -> bool:
        (again,) = httpx.get(f"{desk}/api/v1/imports").json()["items"]
        return again["finished_at"] not in (None, batch["finished_at"])

    # While the second try runs another button stands where this one does.
    eventually(is_tried_again, PATIENCE_S)

    def is_gone(_: Chrome) -> bool:
        for button in browser.find_elements(By.CSS_SELECTOR, ".batch .actions .button.quiet"):
            button.click()
        return not browser.find_elements(By.CSS_SELECTOR, ".batch")

    until(browser, is_gone)
    assert "All done" in find(browser, "main").text


def test_a_key_is_shown_once_and_revoked_and_both_are_in_the_log(
    browser: Chrome, desk: str
) -> None:
    open_page(browser, desk, "#/system/keys")
    press(browser, ".section-head .button")
    press(browser, "dialog .button.primary")
    assert "name" in find(browser, "dialog .field-error").text
    find(browser, "dialog input").send_keys("the website")
    press(browser, "dialog .button.primary")
    secret = str(find(browser, "dialog .secret").get_attribute("value"))
    assert len(secret) > 20
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(browser, lambda b: texts(b, ".plain-table tbody th") == ["the website"])
    assert secret not in browser.page_source
    press(browser, ".plain-table tbody button")
    press(browser, "dialog .button.danger")
    until(browser, lambda b: texts(b, ".plain-table .state") == ["revoked"])
    open_page(browser, desk, "#/system/audit")
    until(
        browser,
        lambda b: {"create key", "revoke key"} <= set(texts(b, ".plain-table tbody th")),
    )
    assert severe_messages(browser) == []


def test_a_label_is_shown_over_the_library_and_another_is_tried(browser: Chrome, desk: str) -> None:
    open_page(browser, desk, "#/tags")
    until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, ".histogram")) >= 1)
    assert texts(browser, ".labels .tag"), "no labels are listed"
    press(browser, ".labels li:nth-child(2) .tag")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".tag[aria-current]"))
    until(browser, lambda b: len(texts(b, ".end-list li")) >= 2)
    find(browser, ".try-label input").send_keys("underwater", Keys.ENTER)
    until(browser, lambda b: "underwater" in find(b, ".distribution h2").text)
    assert "not in the vocabulary" in find(browser, ".distribution").text


def test_a_vocabulary_is_written_and_saved(browser: Chrome, desk: str) -> None:
    open_page(browser, desk, "#/tags")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".labels"))
    press(browser, ".toolbar .button.quiet")
    fields = browser.find_elements(By.CSS_SELECTOR, "dialog input[type=text]")
    fields[0].send_keys("Game Score")
    find(browser, "dialog textarea").send_keys("calm\ntense")
    press(browser, "dialog .button.primary")
    assert "small letters" in find(browser, "dialog .field-error").text
    fields[0].clear()
    fields[0].send_keys("game-score")
    press(browser, "dialog .button.primary")
    until(browser, lambda b: texts(b, ".labels .tag") == ["calm", "tense"])


def test_the_model_in_use_is_named_with_its_licence(browser: Chrome, desk: str) -> None:
    open_page(browser, desk, "#/system/model")
    until(browser, lambda b: "Licence of the weights" in texts(b, ".facts-list dt"))
    assert "holds every change" in texts(browser, ".facts-list dd")
    assert severe_messages(browser) == []
