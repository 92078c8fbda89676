"""The structure of docs/architecture.md, held by reading the imports."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORLDS = ("models", "indexer", "service", "migrations", "muquery")

# Lower layers may not import higher ones: a file may import its own layer and those before it.
LAYERS = [
    {"service.errors", "service.settings", "service.ids", "service.network"},
    {"service.database", "service.blobs", "service.audio"},
    {
        "service.filtering",
        "service.tracks",
        "service.jobs",
        "service.keys",
        "service.audit",
        "service.switching",
        "service.keywords",
        "service.inference",
        "service.index_sync",
    },
    {"service.exchange"},
    {"service.ingest", "service.imports", "service.search", "service.tagging", "service.demo"},
    {"service.evaluation"},
    {"service.worker", "service.serving", "service.runtime", "service.access"},
    {"service.api"},
    {"service.cli"},
]


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def imports_of(path: Path, package: str) -> bool:
    return any(name == package or name.startswith(package + ".") for name in imported(path))


def users_of(package: str, *folders: str) -> set[str]:
    return {
        str(path.relative_to(ROOT)) for path in python_files(*folders) if imports_of(path, package)
    }


def test_the_reader_sees_every_world() -> None:
    for world in WORLDS:
        assert list(python_files(world)), f"{world}/ holds no Python files: did it move?"


@pytest.mark.parametrize("engine", ["faiss", "pymilvus", "obstore", "pyarrow"])
def test_an_engine_is_imported_in_exactly_one_file(engine: str) -> None:
    assert len(users_of(engine, *WORLDS)) == 1


def test_torch_stays_inside_models() -> None:
    assert users_of("torch", "service", "indexer", "migrations", "muquery") == set()


def test_fastapi_stays_inside_the_api() -> None:
    strangers = {
        user for user in users_of("fastapi", *WORLDS) if not user.startswith("service/api/")
    }
    assert strangers == set()


@pytest.mark.parametrize(
    ("world", "forbidden"),
    [
        ("models", "service"),
        ("models", "indexer"),
        ("models", "sqlalchemy"),
        ("models", "fastapi"),
        ("indexer", "service"),
        ("indexer", "models"),
        ("indexer", "sqlalchemy"),
        ("migrations", "models"),
    ],
)
def test_worlds_do_not_look_into_each_other(world: str, forbidden: str) -> None:
    users = users_of(forbidden, world)
    # The training and serving commands of the model world are mounted by the CLI, not the reverse.
    assert users == set()


def layer_of(name: str) -> int | None:
    for number, members in enumerate(LAYERS):
        if any(name == member or name.startswith(member + ".") for member in members):
            return number
    return None


def test_every_service_module_belongs_to_a_layer() -> None:
    homeless = []
    for path in python_files("service"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name != "service" and layer_of(name) is None:
            homeless.append(name)
    assert homeless == []


def test_imports_go_one_way() -> None:
    upward = []
    for path in python_files("service"):
        own = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name in imported(path):
            other = layer_of(name)
            if own is not None and other is not None and other > own:
                upward.append(f"{path.relative_to(ROOT)} imports {name}")
    assert upward == []


def test_importing_the_worlds_does_no_work_and_needs_no_torch() -> None:
    code = (
        "import sys, json, models, indexer, service, muquery; "
        "print(json.dumps([m for m in ('torch', 'fastapi', 'faiss') if m in sys.modules]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == []


def test_no_python_file_is_past_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files(*WORLDS, "tests")
    }
    assert {name: lines for name, lines in long.items() if lines > 500} == {}
