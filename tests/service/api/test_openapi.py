"""The description in docs/openapi.json is the one that is served."""

import json
from pathlib import Path

import pytest

from service.api.openapi import render
from tests.service.api.conftest import Running
from tests.support.service import API


def test_the_kept_document_is_true_to_the_code() -> None:
    kept = Path("docs/openapi.json").read_text(encoding="utf-8")
    assert kept == render(), "run `python -m service.api.openapi > docs/openapi.json`"


def test_the_served_document_is_the_kept_one(idle: Running) -> None:
    kept = json.loads(Path("docs/openapi.json").read_text(encoding="utf-8"))
    assert idle.client.get(f"{API}/openapi.json").json() == kept
    assert kept["openapi"].startswith("3.1")


def test_every_reference_leads_somewhere_and_names_are_unique() -> None:
    text = Path("docs/openapi.json").read_text(encoding="utf-8")
    document = json.loads(text)
    schemas = document["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= set(schemas)
    names = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(names) == len(set(names))


def test_the_environment_does_not_change_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUQUERY_HOST", "0.0.0.0")
    assert render() == Path("docs/openapi.json").read_text(encoding="utf-8")
