"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.settings import Settings, settings_table

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_configuration_page_holds_the_table_of_settings() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert settings_table() in page, "run `python -m service.settings` and paste its table"


def test_every_setting_has_a_description() -> None:
    nameless = [name for name, field in Settings.model_fields.items() if not field.description]
    assert nameless == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) if "://" not in t]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_settings_exist(page: Path) -> None:
    known = {f"MUQUERY_{name.upper()}" for name in Settings.model_fields}
    # These steer tests, not the service.
    known |= {"MUQUERY_TEST_AXE", "MUQUERY_GOLDEN_DIR", "MUQUERY_MUQ_PYTHON"}
    # And these tell a command where the service is.
    known |= {"MUQUERY_URL", "MUQUERY_KEY"}
    named = set(re.findall(r"MUQUERY_[A-Z0-9_]+[A-Z0-9]", page.read_text(encoding="utf-8")))
    assert named - known == set()


def test_the_compose_file_names_settings_that_exist() -> None:
    known = {f"MUQUERY_{name.upper()}" for name in Settings.model_fields}
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    text += (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"MUQUERY_[A-Z0-9_]+[A-Z0-9]", text)) - known == set()


def test_settings_carry_their_units_or_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUQUERY_MAX_TRACK_S", "60")
    monkeypatch.setenv("MUQUERY_DATA_DIR", "/somewhere")
    settings = Settings()
    assert settings.max_track_s == 60.0
    assert settings.resolved_database_url == "sqlite:////somewhere/muquery.sqlite3"
