"""The page's files: no build step, nothing vendored, sentences in their place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "service" / "web"
SCRIPTS = sorted((WEB / "js").glob("*.js"))
FILES = [*SCRIPTS, *sorted((WEB / "css").glob("*.css")), WEB / "index.html"]
WORDS = {"strings.js", "strings-system.js", "words.js"}


def test_the_start_page_asks_for_every_module_at_once() -> None:
    """Without this a browser learns of a module only from the one that imports it."""
    page = (WEB / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'/static/js/([\w-]+\.js)"', page))
    assert named == {path.name for path in SCRIPTS}
    styles = set(re.findall(r'/static/css/([\w-]+\.css)"', page))
    assert styles == {path.name for path in (WEB / "css").glob("*.css")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_is_long_or_reaches_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), "an outside address"
    assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|eval)\b", text)


@pytest.mark.parametrize("path", [p for p in SCRIPTS if p.name not in WORDS], ids=lambda p: p.name)
def test_sentences_stand_with_the_other_strings(path: Path) -> None:
    """A capital, then a word and another: that is text for people, and belongs to strings.js."""
    code = re.sub(r"^\s*(//|\*|/\*).*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = re.findall(r'"([A-Z][a-z]+ [a-z]+[^"]*)"', code)
    assert found == []


def test_every_sentence_is_used() -> None:
    said = "".join((WEB / "js" / name).read_text(encoding="utf-8") for name in sorted(WORDS))
    code = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS if path.name not in WORDS)
    # Fields and codes of the service's answers are looked up by name, and named nowhere else.
    walked = set(re.findall(r"(?:fields|problems): \{(.*?)\}", said, flags=re.DOTALL))
    keys = set(re.findall(r'^\s+"?([a-zA-Z_]+)"?:', said, flags=re.MULTILINE))
    keys -= {key for block in walked for key in re.findall(r"(\w+):", block)}
    unused = {key for key in keys if not re.search(rf"\b{key}\b", code)}
    assert unused == set()
