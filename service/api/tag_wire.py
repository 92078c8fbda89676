"""Between the wire types of tags and the types of the use cases."""

from __future__ import annotations

from collections.abc import Sequence

from service.api import tag_schemas
from service.database.folding import fold
from service.tagging.service import TagQuestion
from service.tagging.store import StoredVocabulary
from service.tagging.vocabularies import VocabularyState
from service.tagging.vocabulary import Group, Label, LabelSet, label_set_to_json

ONE_GROUP = "labels"


def question_in(wanted: tag_schemas.TagOptions) -> TagQuestion:
    if wanted.vocabulary is not None:
        return TagQuestion(
            vocabulary=wanted.vocabulary, version=wanted.version, timeline=wanted.timeline
        )
    templates = tuple(wanted.templates)
    if wanted.groups is not None:
        labels = groups_in(wanted.groups, templates)
    else:
        labels = LabelSet(
            (Group(ONE_GROUP, _labels_in(wanted.labels or []), "multiple", templates),)
        )
    return TagQuestion(labels=labels, timeline=wanted.timeline)


def groups_in(groups: Sequence[tag_schemas.GroupSpec], templates: tuple[str, ...] = ()) -> LabelSet:
    """`templates` are for groups without their own."""
    return LabelSet(
        tuple(
            Group(
                name=group.name,
                labels=tuple(_label_in(label) for label in group.labels),
                choice=group.choice,
                templates=tuple(group.templates) or templates,
                threshold=group.threshold,
            )
            for group in groups
        )
    )


def vocabulary_out(state: VocabularyState) -> tag_schemas.Vocabulary:
    stored = state.vocabulary
    return tag_schemas.Vocabulary.model_validate(
        {
            **_facts(stored),
            "is_current": stored.is_current,
            **label_set_to_json(stored.labels),
            "versions": [
                tag_schemas.VocabularyVersion.model_validate(version) for version in state.versions
            ],
            "tagged_tracks": state.tagged_tracks,
            "tracks": state.tracks,
        }
    )


def summary_out(stored: StoredVocabulary) -> tag_schemas.VocabularySummary:
    return tag_schemas.VocabularySummary.model_validate(
        {**_facts(stored), "labels": stored.labels.size}
    )


def _facts(stored: StoredVocabulary) -> dict[str, object]:
    names = ("name", "version", "is_default", "description", "created_at")
    return {name: getattr(stored, name) for name in names}


def _labels_in(labels: Sequence[str]) -> tuple[Label, ...]:
    """A list of labels may name one twice."""
    unique = {fold(label): Label(label.strip()) for label in reversed(labels)}
    return tuple(reversed(unique.values()))


def _label_in(label: str | tag_schemas.LabelSpec) -> Label:
    if isinstance(label, str):
        return Label(label.strip())
    return Label(label.label.strip(), tuple(label.prompts), label.threshold, label.weak, label.note)
