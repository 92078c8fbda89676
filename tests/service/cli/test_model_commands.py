"""`muquery model use, status, prune`, with the tiny real bundle under two names."""

import shutil
from pathlib import Path

import pytest

from service.cli.program import run
from service.database.engine import Database
from service.switching import registry
from service.switching.registry import ModelIdentity
from tests.support.process import TINY_BUNDLE


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_model_that_is_gone_is_changed_at_once(
    home: Path, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(sqlite_url)
    with database.write() as session:
        lost = ModelIdentity("lost-1", str(home / "lost"), "lost", "CC0-1.0", 4)
        registry.adopt_first(session, lost)
    assert "cannot be loaded" in said(capsys, "model", "status", code=1)
    assert "is no model" in said(capsys, "model", "use", str(home), "--now", code=1)
    said(capsys, "model", "use", str(TINY_BUNDLE), "--now")
    shown = said(capsys, "model", "status")
    assert [line.split()[2] for line in shown.splitlines()[1:]] == ["active", "unused"]
    said(capsys, "model", "prune", "--yes")
    assert "lost" not in said(capsys, "model", "status")
    assert "no model is unused" in said(capsys, "model", "prune", "--yes")
    assert "activate_model" in said(capsys, "audit", "--action", "activate_model")
    database.dispose()


def test_what_cannot_be_used_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "model_already_active" in said(capsys, "model", "use", str(TINY_BUNDLE), code=1)
    assert "model_unusable" in said(capsys, "model", "use", str(home), code=1)
    assert "no_model_change" in said(capsys, "model", "cancel", code=1)
    spoilt = home / "spoilt"
    shutil.copytree(TINY_BUNDLE, spoilt)
    (spoilt / "bundle.json").write_text("{}")
    assert "model_unusable" in said(capsys, "model", "use", str(spoilt), code=1)
