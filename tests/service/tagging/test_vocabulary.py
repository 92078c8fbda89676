"""Label sets: what may be asked, and that they survive being stored."""

from __future__ import annotations

import json

import pytest

from service.errors import InvalidRequest
from service.tagging.store import STANDARD_FILE
from service.tagging.vocabulary import (
    Group,
    Label,
    LabelSet,
    check_label_set,
    label_set_from_json,
    label_set_to_json,
)

MOODS = Group(
    "mood",
    (Label("calm"), Label("dark", ("a dark piece",), 0.4, weak=True, note="unsure")),
    "single",
    ("{label} music",),
    0.25,
)


def group(*labels: str, name: str = "g", templates: tuple[str, ...] = ()) -> Group:
    return Group(name, tuple(map(Label, labels)), templates=templates)


def test_a_label_set_survives_being_stored() -> None:
    labels = LabelSet((MOODS, group("rock", name="genre")))
    stored = json.loads(json.dumps(label_set_to_json(labels)))
    assert label_set_from_json(stored) == labels
    assert label_set_to_json(labels) == stored, "it compares equal to what the database gives back"


def test_prompts_are_the_labels_own_else_the_groups_else_the_models() -> None:
    labels = LabelSet((MOODS, group("rock", name="genre")))
    assert labels.prompts(("{label}", "a {label} track")) == [
        ["calm music"],
        ["a dark piece"],
        ["rock", "a rock track"],
    ]
    assert LabelSet((group("rock"),)).prompts(()) == [["rock"]]


@pytest.mark.parametrize(
    "groups",
    [
        (),
        (group(),),
        (group(" "),),
        (group("calm", "Calm"),),
        (group("caf\u00e9", "cafe"),),
        (group("a"), group("b")),
        (group("a", templates=("no place",)),),
        (group(*map(str, range(501))),),
        (group(*map(str, range(200)), templates=tuple("{label}" + "x" * i for i in range(11))),),
    ],
    ids=["none", "empty", "blank", "case", "accent", "groups", "template", "labels", "prompts"],
)
def test_what_cannot_be_asked_is_refused(groups: tuple[Group, ...]) -> None:
    with pytest.raises(InvalidRequest):
        check_label_set(LabelSet(groups))


def test_our_own_vocabulary_has_its_groups_and_can_be_asked() -> None:
    content = json.loads(STANDARD_FILE.read_text(encoding="utf-8"))
    labels = label_set_from_json(content)
    check_label_set(labels, ("{label}", "{label} music", "a {label} track"))
    names = [group.name for group in labels.groups]
    assert names == ["genre", "mood", "instrument", "voice", "use"]
    assert content["groups"] == label_set_to_json(labels)["groups"], "nothing in it is ignored"
    assert all(label.note for group in labels.groups for label in group.labels if label.weak)
