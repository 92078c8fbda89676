"""A filter as a tree of frozen values, the same wherever it came from.

A leaf asks one thing of one field, and its answer is yes or no, never unknown: what a track does
not have is equal to nothing and lies in no range. So `Not` is the exact opposite of what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

Scalar = str | int | float | bool | datetime


class FieldKind(StrEnum):
    """What a field's values are, and so what may be asked of it."""

    TEXT = "text"
    STATE = "state"
    INTEGER = "integer"
    NUMBER = "number"
    TIME = "time"
    EXTRA = "extra"
    TAGS = "tags"
    TAG = "tag"


@dataclass(frozen=True)
class Field:
    """A field by the name that callers use; `key` is that of `extra`, or a group of tags."""

    name: str
    kind: FieldKind
    key: str = ""
    label: str = ""


@dataclass(frozen=True)
class OneOf:
    """The field has one of these values; for a list: holds one of them."""

    field: Field
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Between:
    """The field lies within these bounds; a None bounds nothing."""

    field: Field
    gte: Scalar | None = None
    gt: Scalar | None = None
    lte: Scalar | None = None
    lt: Scalar | None = None


@dataclass(frozen=True)
class Exists:
    """The field has a value at all."""

    field: Field


@dataclass(frozen=True)
class AllOf:
    nodes: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    nodes: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    node: Filter


Leaf = OneOf | Between | Exists
Filter = AllOf | AnyOf | Not | Leaf


def leaves(node: Filter) -> Iterator[Leaf]:
    """Every leaf, from left to right."""
    if isinstance(node, AllOf | AnyOf):
        for child in node.nodes:
            yield from leaves(child)
    elif isinstance(node, Not):
        yield from leaves(node.node)
    else:
        yield node


def asks_tags(node: Filter) -> bool:
    """Whether the answer depends on the tags that a model gave."""
    return any(leaf.field.kind in (FieldKind.TAGS, FieldKind.TAG) for leaf in leaves(node))


def without_field(node: Filter, field: Field) -> Filter | None:
    """The filter as if nothing were asked of one field; None where then nothing is asked at all."""
    if isinstance(node, AllOf):
        kept = [without_field(child, field) for child in node.nodes]
        rest = tuple(child for child in kept if child is not None)
        return AllOf(rest) if rest else None
    if isinstance(node, AnyOf):
        kept = [without_field(child, field) for child in node.nodes]
        rest = tuple(child for child in kept if child is not None)
        # One alternative that asks nothing lets everything through.
        return AnyOf(rest) if len(rest) == len(kept) else None
    if isinstance(node, Not):
        inner = without_field(node.node, field)
        return None if inner is None else Not(inner)
    return None if _is_about(node.field, field) else node


def identity(node: Filter | None) -> Any:
    """Plain JSON that names the filter, for a cursor."""
    if node is None:
        return None
    if isinstance(node, AllOf | AnyOf):
        return [type(node).__name__, *(identity(child) for child in node.nodes)]
    if isinstance(node, Not):
        return ["Not", identity(node.node)]
    name = [type(node).__name__, node.field.name]
    if isinstance(node, OneOf):
        return [*name, *(_plain(value) for value in node.values)]
    if isinstance(node, Between):
        return [*name, *(_plain(bound) for bound in (node.gte, node.gt, node.lte, node.lt))]
    return name


def _is_about(one: Field, other: Field) -> bool:
    """A group of tags and its labels are one field to whoever counts labels."""
    of_tags = (FieldKind.TAGS, FieldKind.TAG)
    if one.kind in of_tags and other.kind in of_tags:
        return one.key == other.key
    return one.name == other.name


def _plain(value: Scalar | None) -> Any:
    return {"time": value.isoformat()} if isinstance(value, datetime) else value
