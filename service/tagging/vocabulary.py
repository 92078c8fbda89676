"""Labels in groups: what a track is asked about, and by which sentences.

A label is asked by its own `prompts`, or by the group's templates around it, or by those that the
model's bundle recommends. A group is of single choice (at most one of its labels is assigned) or
of multiple choice (each label for itself).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from service.database.folding import fold
from service.errors import InvalidRequest

Choice = Literal["single", "multiple"]

PLACEHOLDER = "{label}"
MAX_LABELS = 500
MAX_PROMPTS = 2_000


@dataclass(frozen=True)
class Label:
    """A label; a `weak` one is scored but never assigned, because the model cannot tell it."""

    label: str
    prompts: tuple[str, ...] = ()
    threshold: float | None = None
    weak: bool = False
    note: str | None = None


@dataclass(frozen=True)
class Group:
    """Labels that belong together, such as moods; thresholds are probabilities."""

    name: str
    labels: tuple[Label, ...]
    choice: Choice = "multiple"
    templates: tuple[str, ...] = ()
    threshold: float | None = None

    def find(self, label: str) -> Label | None:
        """A label by its name, whatever its case and accents."""
        wanted = fold(label)
        return next((known for known in self.labels if fold(known.label) == wanted), None)


@dataclass(frozen=True)
class LabelSet:
    """All groups of a vocabulary or of a request."""

    groups: tuple[Group, ...]

    @property
    def size(self) -> int:
        return sum(len(group.labels) for group in self.groups)

    def find(self, name: str) -> Group | None:
        return next((group for group in self.groups if group.name == name), None)

    def prompts(self, defaults: Sequence[str]) -> list[list[str]]:
        """The sentences of each label in order; `defaults` are templates where a group has none."""
        templates = tuple(defaults) or (PLACEHOLDER,)
        return [
            list(label.prompts)
            or [t.replace(PLACEHOLDER, label.label) for t in group.templates or templates]
            for group in self.groups
            for label in group.labels
        ]


def check_label_set(labels: LabelSet, defaults: Sequence[str] = ()) -> None:
    """Raise InvalidRequest for what could not be asked, or not be told apart afterwards."""
    if not labels.groups or any(not group.labels for group in labels.groups):
        raise InvalidRequest("Each group needs at least one label.")
    _refuse_twins("group", (group.name for group in labels.groups))
    for group in labels.groups:
        if any(not label.label.strip() for label in group.labels):
            raise InvalidRequest("Each label needs at least one character.", group=group.name)
        _refuse_twins("label", (label.label for label in group.labels), group=group.name)
        if any(PLACEHOLDER not in template for template in group.templates):
            raise InvalidRequest("Each template must hold {label}.", group=group.name)
    if labels.size > MAX_LABELS:
        raise InvalidRequest("Too many labels.", labels=labels.size, max_labels=MAX_LABELS)
    prompts = sum(map(len, labels.prompts(defaults)))
    if prompts > MAX_PROMPTS:
        raise InvalidRequest(
            "Too many labels times templates.", prompts=prompts, max_prompts=MAX_PROMPTS
        )


def label_set_to_json(labels: LabelSet) -> dict[str, Any]:
    """As stored and as shown: fields at their defaults are left out."""
    return {"groups": [_lean(asdict(group)) for group in labels.groups]}


def label_set_from_json(content: Mapping[str, Any]) -> LabelSet:
    """What `label_set_to_json` wrote."""
    return LabelSet(tuple(_group(values) for values in content["groups"]))


def _group(values: Mapping[str, Any]) -> Group:
    labels = tuple(
        Label(**{**label, "prompts": tuple(label.get("prompts", ()))}) for label in values["labels"]
    )
    return Group(**{**values, "labels": labels, "templates": tuple(values.get("templates", ()))})


def _lean(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something, with lists as JSON has them."""
    kept = {name: value for name, value in values.items() if value not in ((), None, False)}
    for name, value in kept.items():
        if isinstance(value, tuple):
            kept[name] = [_lean(item) if isinstance(item, dict) else item for item in value]
    return kept


def _refuse_twins(kind: str, names: Iterable[str], **details: Any) -> None:
    seen: set[str] = set()
    for name in names:
        if fold(name) in seen:
            raise InvalidRequest(f"The {kind} {name!r} is given twice.", **details)
        seen.add(fold(name))
