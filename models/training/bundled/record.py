"""What a bundle's evaluation found, in a form that two bundles can be compared by.

`evaluation.json` lies in the bundle: the figures with their intervals, what each set consisted of,
and the identity of the data that was trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.training.evaluation.sets import EvaluationSets
from models.training.manifest import ManifestEntry

RECORD_FILE = "evaluation.json"
_RENDERED = "render:"
# Free text over all pools asks the sentences of both.
_SETS_BEHIND = {"all pools": ("labelled", "renders_styles"), "solo": ("labelled_test",)}

Json = Mapping[str, Any]


def make_record(report: Json, sets: EvaluationSets, data: Json) -> dict[str, Any]:
    """Return what a report (as JSON) found, on which tracks, after training on which data."""
    return {
        "model_id": report["model_id"],
        "with_test": report["with_test"],
        "data": dict(data),
        "sets": {name: _digest(e.id for e in found) for name, found in sets.sets.items()},
        "figures": list_figures(report),
    }


def record_to_bytes(record: Json) -> bytes:
    """The record as it is written."""
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def read_record(bundle: Path) -> dict[str, Any] | None:
    """Read a bundle's record; None where it carries none."""
    path = bundle / RECORD_FILE
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return record


def list_figures(report: Json) -> dict[str, dict[str, Any]]:
    """Flatten a report to its figures by name, each with its interval, chance and set.

    Speed is no part of it: it belongs to the machine.
    """
    found: dict[str, dict[str, Any]] = {}
    for group in ("tags", "queries"):
        for table in report[group]:
            for measure, comparison in table["measures"].items():
                name = f"{table['set']}: {table['kind']}, {measure}"
                found[name] = _figure(comparison["bundle"], table["set"])
    for name, tables in report["languages"].items():
        for language, table in tables.items():
            interval = table["measures"]["roc_auc"]["bundle"]
            found[f"{name}: genre words in {language}, roc_auc"] = _figure(interval, name)
    judged = "labelled" if report["with_test"] else "labelled_dev"
    for change in report["robustness"]:
        found[f"{judged}: {change['change']}, cosine"] = _figure(change["cosine"], judged)
    return found


def sets_behind(name: str) -> tuple[str, ...]:
    """Return the sets of tracks that a figure's set is made of."""
    return _SETS_BEHIND.get(name, (name,))


def describe_data(entries: Sequence[ManifestEntry], identity: str) -> dict[str, Any]:
    """Say what was trained on, so that a difference can be placed.

    `identity` hashes everything; `recordings` the files that packages hold; `facts` ids, splits and
    texts of all tracks, without the bytes: those of renders follow the synthesizer's version.
    """
    recordings = [entry for entry in entries if not entry.source.startswith(_RENDERED)]
    facts = [
        json.dumps(
            [e.id, e.split, e.group, [[c.text, c.kind, c.weight] for c in e.captions],
             {kind: list(values) for kind, values in e.tags.items()}], sort_keys=True,
        )
        for e in entries
    ]  # fmt: skip
    return {
        "identity": identity,
        "tracks": len(entries),
        "hours": round(sum(entry.duration_s for entry in entries) / 3600, 2),
        "recordings": _digest(f"{e.id} {e.sha256}" for e in recordings),
        "facts": _digest(facts),
    }


def _figure(interval: Json, name: str) -> dict[str, Any]:
    return {
        "set": name,
        **{key: round(float(interval[key]), 4) for key in ("value", "low", "high", "chance")},
    }


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
