"""Which labels a filter means by tags.<group>: those of the default vocabulary under one model."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.database.folding import fold
from service.database.tables import TagLabel, Vocabulary


@dataclass(frozen=True)
class KnownLabel:
    """A label by its number; while a library is tagged again, versions stand side by side."""

    pk: int
    group: str
    label: str


@dataclass(frozen=True)
class TagScope:
    """All labels that tracks were tagged with."""

    labels: tuple[KnownLabel, ...] = field(default=())

    def of_group(self, group: str) -> list[KnownLabel]:
        return [known for known in self.labels if fold(known.group) == fold(group)]

    def of_label(self, group: str, label: str) -> list[int]:
        """The numbers of one label, whatever its case and accents; empty for an unknown one."""
        wanted = fold(label)
        return [known.pk for known in self.of_group(group) if fold(known.label) == wanted]


def read_tag_scope(session: Session, model_id: str) -> TagScope:
    """The labels of the default vocabulary; none before anything was tagged."""
    rows = session.execute(
        select(TagLabel.pk, TagLabel.group_name, TagLabel.label)
        .join(Vocabulary, Vocabulary.name == TagLabel.vocabulary)
        .where(TagLabel.model_id == model_id, Vocabulary.is_default)
        .distinct()
        .order_by(TagLabel.pk)
    )
    return TagScope(tuple(KnownLabel(row.pk, row.group_name, row.label) for row in rows))
