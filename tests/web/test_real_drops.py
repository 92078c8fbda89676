"""Files and folders that really fall on the page: into the library, or into the query."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.support.audio import write_audio
from tests.support.process import environment, serving
from tests.support.service import eventually
from tests.web.conftest import RATE_HZ, tone
from tests.web.driving import (
    find,
    location,
    open_page,
    press,
    severe_messages,
    texts,
    titles,
    until,
)
from tests.web.dropping import drop_on

pytestmark = pytest.mark.browser

READY_S = 60.0


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with folders in it, more files than one reading of a folder gives, and no music."""
    folder = tmp_path_factory.mktemp("drops") / "album"
    names = ["first.wav", "disc 1/second.wav", "disc 1/takes/deep/third.flac"]
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, tone(200.0 + 500 * number, 4.0, number), RATE_HZ)
    (folder / "empty").mkdir()
    (folder / "cover.jpg").write_bytes(b"no music")
    for number in range(120):
        (folder / "disc 1" / f"note {number:03}.txt").write_text("no music either")
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service whose library is empty."""
    data = tmp_path_factory.mktemp("empty")
    with serving(environment(data, f"sqlite:///{data / 'muquery.sqlite3'}")) as server:
        yield server.url


def filenames(address: str) -> list[str]:
    page = httpx.get(f"{address}/api/v1/tracks", timeout=60).json()
    return sorted(track["filename"] for track in page["items"])


def test_a_folder_is_taken_with_all_its_folders(browser: Chrome, empty: str, album: Path) -> None:
    open_page(browser, empty)
    drop_on(browser, [album])
    wanted = ["first.wav", "second.wav", "third.flac"]
    until(browser, lambda b: sorted(texts(b, ".upload-list .upload-name")) == wanted)
    until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, ".upload-list .done")) == 3)
    assert eventually(lambda: filenames(empty) == wanted, READY_S)
    assert not browser.find_element(By.ID, "drop-veil").is_displayed()
    assert severe_messages(browser) == []


def test_a_folder_without_music_says_so(browser: Chrome, empty: str, album: Path) -> None:
    open_page(browser, empty)
    drop_on(browser, [album / "empty"])
    until(browser, lambda b: any("no audio" in each.lower() for each in texts(b, ".toast")))


def test_a_clip_that_falls_elsewhere_begins_a_search(
    browser: Chrome, address: str, songs: dict[str, Path]
) -> None:
    open_page(browser, address, "#/library")
    until(browser, lambda b: texts(b, ".tracks tbody th a"))
    before = filenames(address)
    drop_on(browser, [songs["Tin Whistle"], songs["Low River"]], "clip")
    name = songs["Tin Whistle"].name
    until(browser, lambda b: texts(b, ".search .chip .chip-label") == [f"like the clip {name}"])
    until(browser, lambda b: titles(b)[:1] == ["Tin Whistle"])
    assert location(browser).startswith("#/?")

    # A second one beside it, and then the first as what is not wanted.
    drop_on(browser, [songs["Low River"]], "clip")
    until(browser, lambda b: len(texts(b, ".search .chip .chip-label")) == 2)
    press(browser, ".search .chip:nth-child(1) .chip-not")
    find(browser, ".search .chip.negative")
    until(browser, lambda b: titles(b)[:1] == ["Low River"])
    assert filenames(address) == before, "clips are not stored"
    assert severe_messages(browser) == []


def test_of_a_folder_the_first_recording_is_the_clip(
    browser: Chrome, address: str, album: Path
) -> None:
    open_page(browser, address)
    drop_on(browser, [album / "disc 1" / "takes"], "clip")
    chip = ".search .chip .chip-label"
    until(browser, lambda b: texts(b, chip) == ["like the clip third.flac"])
    until(browser, lambda b: len(titles(b)) >= 2)


def test_what_is_no_recording_says_so_as_a_clip(
    browser: Chrome, address: str, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Sir or Madam")
    open_page(browser, address)
    drop_on(browser, [letter], "clip")
    until(browser, lambda b: "audio" in find(b, ".results [role=alert]").text.lower())
