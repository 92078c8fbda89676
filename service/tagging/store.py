"""Vocabularies by name and version, in SQL; one of them is the default that tracks are tagged with.

Whoever changes the default holds its row against those who write tags from it, who in turn hold it
shared until their commit: after the change no track is tagged with what was the default before.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, LockSpace, database_now, lock_until_commit
from service.database.tables import TagLabel, Vocabulary
from service.errors import Conflict, NotFound
from service.tagging.vocabulary import LabelSet, label_set_from_json, label_set_to_json

STANDARD = "standard"
"""The vocabulary that comes with this package."""

STANDARD_FILE = Path(__file__).parent / "standard.json"
_OURS = "muquery"


_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class VocabularyNotFound(NotFound):
    code, default_message = "vocabulary_not_found", "No vocabulary has this name and version."


class VocabularyInUse(Conflict):
    code = "vocabulary_in_use"
    default_message = "Tracks are tagged with this vocabulary; make another the default first."


@dataclass(frozen=True)
class StoredVocabulary:
    """One version of a vocabulary."""

    name: str
    version: int
    is_current: bool
    is_default: bool
    description: str | None
    created_at: datetime
    labels: LabelSet


@dataclass(frozen=True)
class Saved:
    """What a save did: a vocabulary that is stored already is not given a new version."""

    vocabulary: StoredVocabulary
    is_new_version: bool
    is_new_default: bool

    @property
    def changes_tags(self) -> bool:
        """Whether the library's tags are out of date now."""
        return self.is_new_default or (self.is_new_version and self.vocabulary.is_default)


def is_name(text: str) -> bool:
    """Whether a vocabulary may be called that."""
    return _NAME.fullmatch(text) is not None


def list_vocabularies(session: Session) -> list[StoredVocabulary]:
    """The current version of each, by name."""
    query = select(Vocabulary).where(Vocabulary.is_current).order_by(Vocabulary.name)
    return [_view(row) for row in session.scalars(query)]


def get_vocabulary(session: Session, name: str, version: int | None = None) -> StoredVocabulary:
    """A version, by default the current one; raises VocabularyNotFound."""
    wanted = Vocabulary.is_current if version is None else Vocabulary.version == version
    row = session.scalar(select(Vocabulary).where(Vocabulary.name == name, wanted))
    if row is None:
        raise VocabularyNotFound(name=name, version=version)
    return _view(row)


def list_versions(session: Session, name: str) -> list[StoredVocabulary]:
    """All versions, newest first; empty for an unknown name."""
    query = select(Vocabulary).where(Vocabulary.name == name).order_by(Vocabulary.version.desc())
    return [_view(row) for row in session.scalars(query)]


def find_default(session: Session) -> StoredVocabulary | None:
    """What tracks are tagged with; None before the first start of the service."""
    row = session.scalar(select(Vocabulary).where(Vocabulary.is_default))
    return None if row is None else _view(row)


def hold_default(session: Session, name: str, version: int) -> bool:
    """Whether this is the default version still; it stays so until the caller's commit."""
    held = (
        select(Vocabulary.version)
        .where(Vocabulary.is_default, Vocabulary.name == name, Vocabulary.version == version)
        .with_for_update(read=True)
    )
    return session.scalar(held) is not None


def save_vocabulary(
    session: Session,
    name: str,
    labels: LabelSet,
    *,
    description: str | None = None,
    make_default: bool = False,
    origin: str | None = None,
) -> Saved:
    """Store a new version, unless the current one is the same; old versions stay readable."""
    lock_until_commit(session, LockSpace.VOCABULARIES)
    content = {**label_set_to_json(labels), "description": description, "origin": origin}
    row = session.scalar(select(Vocabulary).where(Vocabulary.name == name, Vocabulary.is_current))
    is_default = make_default or (row is not None and row.is_default)
    if row is not None and {**row.content, "origin": origin} == content:
        is_new_default = is_default and not row.is_default
        if is_new_default:
            _unset_default(session)
            row.is_default = True
            session.flush()
        return Saved(_view(row), is_new_version=False, is_new_default=is_new_default)
    was_default = row is not None and row.is_default
    if is_default:
        _unset_default(session)
    new = _add_version(session, name, content, is_default)
    return Saved(_view(new), is_new_version=True, is_new_default=is_default and not was_default)


def delete_vocabulary(session: Session, name: str) -> None:
    """Remove all versions, and tags made with them; raises VocabularyNotFound, VocabularyInUse."""
    lock_until_commit(session, LockSpace.VOCABULARIES)
    versions = list_versions(session, name)
    if not versions:
        raise VocabularyNotFound(name=name)
    if any(version.is_default for version in versions):
        raise VocabularyInUse(name=name)
    session.execute(delete(TagLabel).where(TagLabel.vocabulary == name))
    session.execute(delete(Vocabulary).where(Vocabulary.name == name))


def offer_standard(database: Database, file: Path = STANDARD_FILE) -> bool:
    """Store this package's own vocabulary; True where that changes what tracks are tagged with.

    A newer package brings a new version. What a person made of it is left alone.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    labels = label_set_from_json(content)
    with database.read() as session:
        if _is_settled(session, labels, content["description"]):
            return False
    with database.write() as session:
        lock_until_commit(session, LockSpace.VOCABULARIES)
        if _is_settled(session, labels, content["description"]):
            return False
        saved = save_vocabulary(
            session,
            STANDARD,
            labels,
            description=content["description"],
            make_default=find_default(session) is None,
            origin=_OURS,
        )
        return saved.changes_tags


def _is_settled(session: Session, labels: LabelSet, description: str) -> bool:
    row = session.scalar(
        select(Vocabulary).where(Vocabulary.name == STANDARD, Vocabulary.is_current)
    )
    if row is None:
        # Deleted on purpose, where another vocabulary is the default.
        return find_default(session) is not None
    if row.content.get("origin") != _OURS:
        return True
    ours = {**label_set_to_json(labels), "description": description, "origin": _OURS}
    return bool(row.content == ours)


def _unset_default(session: Session) -> None:
    session.execute(update(Vocabulary).where(Vocabulary.is_default).values(is_default=False))


def _add_version(
    session: Session, name: str, content: dict[str, Any], is_default: bool
) -> Vocabulary:
    newest = select(func.max(Vocabulary.version)).where(Vocabulary.name == name)
    session.execute(
        update(Vocabulary)
        .where(Vocabulary.name == name, Vocabulary.is_current)
        .values(is_current=False)
    )
    row = Vocabulary(
        name=name,
        version=(session.scalar(newest) or 0) + 1,
        content=content,
        is_current=True,
        is_default=is_default,
        created_at=database_now(session),
    )
    session.add(row)
    session.flush()
    return row


def _view(row: Vocabulary) -> StoredVocabulary:
    return StoredVocabulary(
        name=row.name,
        version=row.version,
        is_current=row.is_current,
        is_default=row.is_default,
        description=row.content.get("description"),
        created_at=row.created_at,
        labels=label_set_from_json(row.content),
    )
