"""A library small enough to see through, and what a filter means on it, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from service.database.folding import fold
from service.database.tables import TagLabel, TagValue, Vocabulary
from tests.support.encoder import MODEL_ID
from tests.support.rows import new_track

DAYS = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in range(1, 4)]


@dataclass(frozen=True)
class Row:
    """A track as a person describes it; `tags` gives (assigned, probability) by group and label."""

    title: str | None = None
    artist: str | None = None
    genre: str | None = None
    year: int | None = None
    duration_s: float | None = None
    added_at: datetime = DAYS[0]
    state: str = "ready"
    extra: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[tuple[str, str], tuple[bool, float | None]] = field(default_factory=dict)


ROWS = [
    Row("Été", "Björk", "Jazz", 1990, 10.0, DAYS[0], "ready", {"bpm": 120, "ok": True, "n": 1}),
    Row("ete", "BJORK", "jazz", 1991, 20.5, DAYS[1], "failed", {"bpm": 90.5, "ok": False}),
    Row(None, None, None, None, None, DAYS[2], "pending", {}),
    Row("a", "Björk", None, 1990, 10.0, DAYS[0], "ready", {"bpm": "120", "ok": "true", "n": "1"}),
    Row("b", "Other", "Rock", 0, 0.0, DAYS[1], "ready", {"bpm": None, "ok": [], "n": [1, "a"]}),
    Row("c", "x", "Été", 2000, 1.5, DAYS[2], "ready", {"n": ["A", "ä", True, 2, {"k": 1}]}),
    Row("d", "y", "Jazz", 1995, 9.0, DAYS[2], "ready", {"n": {"a": 1}, "ok": 1, "bpm": [60, 120]}),
    Row(
        "e", "z", "Rock", 1999, 3.0, DAYS[0], "ready", {"": 1, "n": [None]},
        {("mood", "calm"): (True, 0.9), ("mood", "Wild"): (False, 0.25)},
    ),
    Row(
        "f", None, "Pop", None, 4.0, DAYS[1], "ready", {"n": "b"},
        {
            ("mood", "calm"): (False, 0.5), ("mood", "Wild"): (True, 0.75),
            ("voice", "none"): (True, None),
        },
    ),
    Row("g", "w", "Pop", 1980, 5.0, DAYS[2], "ready", {}, {("mood", "calm"): (True, None)}),
]  # fmt: skip


def store(session: Session) -> list[int]:
    """Put ROWS into the database; returns their numbers."""
    session.add(Vocabulary(name="v", version=1, content={}, is_current=True, is_default=True))
    labels: dict[tuple[str, str], TagLabel] = {}
    pks = []
    for row in ROWS:
        values = {name: value for name, value in vars(row).items() if name != "tags"}
        track = new_track(session, **(values | {"extra": dict(row.extra)}))
        pks.append(track.pk)
        for (group, label), (assigned, probability) in row.tags.items():
            if (group, label) not in labels:
                labels[group, label] = TagLabel(
                    model_id=MODEL_ID, vocabulary="v", version=1, group_name=group, label=label,
                    vector=b"",
                )  # fmt: skip
                session.add(labels[group, label])
                session.flush()
            session.add(
                TagValue(
                    track_pk=track.pk,
                    label_pk=labels[group, label].pk,
                    score=0.1,
                    probability=probability,
                    assigned=assigned,
                )
            )
    session.flush()
    return pks


def passes(wanted: Mapping[str, Any], row: Row) -> bool:
    """Whether the row passes, by the words of the documentation alone."""
    if "and" in wanted:
        return all(passes(child, row) for child in wanted["and"])
    if "or" in wanted:
        return any(passes(child, row) for child in wanted["or"])
    if "not" in wanted:
        return not passes(wanted["not"], row)
    values = values_of(wanted["field"], row)
    if "exists" in wanted:
        return bool(values) is wanted["exists"]
    if "eq" in wanted:
        return any(_same(value, wanted["eq"]) for value in values)
    if "ne" in wanted:
        return not any(_same(value, wanted["ne"]) for value in values)
    if "in" in wanted:
        return any(_same(value, one) for value in values for one in wanted["in"])
    return any(_inside(value, wanted["range"]) for value in values)


def values_of(name: str, row: Row) -> list[Any]:
    if name.startswith("extra."):
        value = row.extra.get(name.removeprefix("extra."))
        elements = value if isinstance(value, list) else [value]
        return [element for element in elements if element is not None]
    if name.startswith("tags."):
        _, group, *label = name.split(".")
        if label:
            found = [
                v for (g, one), (_, v) in row.tags.items() if (g, fold(one)) == (group, label[0])
            ]
            return [probability for probability in found if probability is not None]
        return [label for (g, label), (assigned, _) in row.tags.items() if g == group and assigned]
    value = getattr(row, name)
    return [] if value is None else [value]


def _comparable(value: Any) -> tuple[str, Any]:
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", float(value)
    if isinstance(value, datetime):
        return "time", value
    return ("object", id(value)) if isinstance(value, dict) else ("text", fold(value))


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, datetime):
        if len(wanted) == 10:
            return value.date().isoformat() == wanted
        wanted = datetime.fromisoformat(wanted)
    return _comparable(value) == _comparable(wanted)


def _inside(value: Any, bounds: Mapping[str, Any]) -> bool:
    kind, own = _comparable(value)
    for name, bound in bounds.items():
        if kind == "time":
            bound = datetime.fromisoformat(bound)
        other_kind, other = _comparable(bound)
        if kind != other_kind or kind == "boolean":
            return False
        if not {"gte": own >= other, "gt": own > other, "lte": own <= other, "lt": own < other}[
            name
        ]:
            return False
    return True
