"""From the JSON of a filter to its tree; every refusal names the node that is wrong.

{"and": [...]}   {"or": [...]}   {"not": {...}}
{"field": F, "eq" | "ne" | "in" | "range" | "exists": ...}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.errors import InvalidRequest
from service.filtering.fields import (
    OPERATORS,
    BadValue,
    is_whole_day,
    next_day,
    parse_bound,
    parse_field,
    parse_value,
)
from service.filtering.nodes import (
    AllOf,
    AnyOf,
    Between,
    Exists,
    Field,
    FieldKind,
    Filter,
    Not,
    OneOf,
)

MAX_DEPTH = 8
MAX_NODES = 100
MAX_VALUES = 1_000
MAX_CHARS = 16_000
"""Of a filter that is written into an address."""

_BOUNDS = ("gte", "gt", "lte", "lt")
_COMBINERS = ("and", "or", "not")


class InvalidFilter(InvalidRequest):
    """`details.path` leads to the node that is wrong, as filter.and[1].range.gte."""

    code, default_message = "invalid_filter", "The filter is not valid."


class InvalidField(InvalidRequest):
    code, default_message = "invalid_field", "There is no such field."


def parse_filter(value: Any) -> Filter:
    """The tree of a decoded JSON value; raises InvalidFilter."""
    return _Parser().node(value, "filter", 1)


def parse_filter_text(text: str) -> Filter:
    """The same of JSON text; raises InvalidFilter."""
    if len(text) > MAX_CHARS:
        raise _invalid("filter", f"has more than {MAX_CHARS} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid("filter", "is not JSON") from None
    return parse_filter(value)


@dataclass
class _Parser:
    """Counts what one filter holds, so that none is too much for a database."""

    nodes: int = 0
    values: int = 0

    def node(self, value: Any, path: str, depth: int) -> Filter:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _invalid(path, f"is one condition too many: a filter has {MAX_NODES} at most")
        if depth > MAX_DEPTH:
            raise _invalid(path, f"lies deeper than {MAX_DEPTH} levels")
        if not isinstance(value, Mapping):
            raise _invalid(path, "expects an object")
        names = [name for name in _COMBINERS if name in value]
        if not names:
            return self.leaf(value, path)
        if len(value) != 1:
            raise _invalid(path, f"holds {names[0]!r}, and may hold nothing else")
        return self.combined(names[0], value[names[0]], f"{path}.{names[0]}", depth + 1)

    def combined(self, name: str, value: Any, path: str, depth: int) -> Filter:
        if name == "not":
            return Not(self.node(value, path, depth))
        if not isinstance(value, list) or not value:
            raise _invalid(path, "expects a list of at least one condition")
        nodes = tuple(self.node(item, f"{path}[{i}]", depth) for i, item in enumerate(value))
        return AllOf(nodes) if name == "and" else AnyOf(nodes)

    def leaf(self, value: Mapping[Any, Any], path: str) -> Filter:
        if "field" not in value:
            raise _invalid(path, "expects and, or, not, or a field")
        with _located(f"{path}.field"):
            field = parse_field(value["field"])
        operators = [name for name in value if name != "field"]
        allowed = OPERATORS[field.kind]
        if len(operators) != 1 or operators[0] not in allowed:
            raise _invalid(path, f"expects exactly one of {', '.join(sorted(allowed))}")
        name, wanted = operators[0], value[operators[0]]
        path = f"{path}.{name}"
        if name == "exists":
            return _exists(field, wanted, path)
        if name == "range":
            return _between(field, wanted, path)
        if name == "in":
            return self.one_of(field, wanted, path)
        found = self.equal(field, wanted, path)
        return found if name == "eq" else Not(found)

    def one_of(self, field: Field, wanted: Any, path: str) -> Filter:
        if not isinstance(wanted, list) or not wanted:
            raise _invalid(path, "expects a list of at least one value")
        found = [self.equal(field, item, f"{path}[{i}]") for i, item in enumerate(wanted)]
        plain = tuple(leaf.values[0] for leaf in found if isinstance(leaf, OneOf))
        others = tuple(leaf for leaf in found if not isinstance(leaf, OneOf))
        if not others:
            return OneOf(field, plain)
        return AnyOf((OneOf(field, plain), *others) if plain else others)

    def equal(self, field: Field, wanted: Any, path: str) -> OneOf | Between:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _invalid(path, f"is one value too many: a filter has {MAX_VALUES} at most")
        with _located(path):
            value = parse_value(field, wanted)
            if field.kind is FieldKind.TIME and is_whole_day(wanted):
                return Between(field, gte=value, lt=next_day(value))
        return OneOf(field, (value,))


def _exists(field: Field, wanted: Any, path: str) -> Filter:
    if not isinstance(wanted, bool):
        raise _invalid(path, "expects true or false")
    return Exists(field) if wanted else Not(Exists(field))


def _between(field: Field, wanted: Any, path: str) -> Filter:
    if not isinstance(wanted, Mapping) or not wanted or not set(wanted) <= set(_BOUNDS):
        raise _invalid(path, "expects an object of gte, gt, lte, lt")
    if {"gte", "gt"} <= set(wanted) or {"lte", "lt"} <= set(wanted):
        raise _invalid(path, "expects one lower and one upper bound at most")
    bounds: dict[str, Any] = {}
    for name, value in wanted.items():
        with _located(f"{path}.{name}"):
            bound = parse_bound(field, value)
            if field.kind is FieldKind.TIME and is_whole_day(value):
                # After a day, and until its end, both mean the moment at which it is over.
                over = {"gt": "gte", "lte": "lt"}.get(name)
                name, bound = (name, bound) if over is None else (over, next_day(bound))
        bounds[name] = bound
    if len({isinstance(bound, str) for bound in bounds.values()}) > 1:
        raise _invalid(path, "expects bounds of one kind")
    return Between(field, **bounds)


@contextmanager
def _located(path: str) -> Iterator[None]:
    try:
        yield
    except BadValue as problem:
        raise _invalid(path, str(problem)) from None


def _invalid(path: str, problem: str) -> InvalidFilter:
    return InvalidFilter(f"{path} {problem}.", path=path, problem=problem)
