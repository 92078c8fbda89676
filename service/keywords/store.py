"""Keeps the words of tracks in `track_search`, in the transaction of what they are made from.

    SQLite       an FTS5 table, its rowid the track's pk, a column for each field
    PostgreSQL   track_pk and a tsvector under a GIN index; each lexeme begins with its field's
                 letter, because a tsvector has only four weights

Neither is an ORM table: see `is_mapped` in service/database/base.py. A row whose track is gone
does no harm (a look-up joins the tracks, numbers are never given twice) and is removed by repair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.tables import Track
from service.database.track_tags import TrackTag
from service.keywords.document import FIELD_POINTS, Document, document_of
from service.switching.registry import active_model_id

COLUMNS = (*FIELD_POINTS, "whole")
LETTERS = dict(zip(COLUMNS, "talgkfw", strict=True))
"""The letter that each column's lexemes begin with on PostgreSQL."""

_BATCH = 1_000
_SOURCES = (Track.title, Track.artist, Track.album, Track.genre, Track.filename)

_DELETE = {
    "sqlite": "DELETE FROM track_search WHERE rowid = :pk",
    "postgresql": "DELETE FROM track_search WHERE track_pk = :pk",
}
_INSERT = {
    "sqlite": (
        "INSERT INTO track_search "
        "(rowid, title, artist, album, genre, tags, filename, whole) "
        "VALUES (:pk, :title, :artist, :album, :genre, :tags, :filename, :whole)"
    ),
    "postgresql": (
        "INSERT INTO track_search (track_pk, document) "
        "VALUES (:pk, array_to_tsvector(CAST(:words AS text[]))) "
        "ON CONFLICT (track_pk) DO UPDATE SET document = excluded.document"
    ),
}
_ROWS_AFTER = {
    "sqlite": (
        "SELECT rowid AS pk, title, artist, album, genre, tags, filename, whole "
        "FROM track_search WHERE rowid > :after ORDER BY rowid LIMIT :count"
    ),
    "postgresql": (
        "SELECT track_pk AS pk, tsvector_to_array(document) AS words FROM track_search "
        "WHERE track_pk > :after ORDER BY track_pk LIMIT :count"
    ),
}


@dataclass(frozen=True)
class TextCheck:
    """Tracks whose stored words were compared with their rows, and what was wrong."""

    checked: int
    missing: int
    extra: int
    different: int
    repaired: int = 0

    @property
    def ok(self) -> bool:
        return self.missing == self.extra == self.different == 0


def refresh_track_text(session: Session, track_pk: int) -> None:
    """Store the words of one track as the session sees it; forget those of a deleted one.

    Call it in the transaction that changes a track's own fields or its tags, or deletes it.
    """
    refresh_track_texts(session, [track_pk])


def refresh_track_texts(session: Session, track_pks: Sequence[int]) -> None:
    """The same for many tracks."""
    for start in range(0, len(track_pks), _BATCH):
        pks = sorted(set(track_pks[start : start + _BATCH]))
        documents = read_documents(session, pks, lock=True)
        _write(session, documents)
        _remove(session, [pk for pk in pks if pk not in documents])


def verify_texts(database: Database) -> TextCheck:
    """Compare the stored words of every track with its row and tags."""
    with database.snapshot() as session:
        wrong = list(_differences(session))
        checked = session.query(Track.pk).count()
    return _check(checked, wrong)


def repair_texts(database: Database) -> TextCheck:
    """Compare, and store again what differs; tells what was wrong."""
    with database.snapshot() as session:
        wrong = list(_differences(session))
        checked = session.query(Track.pk).count()
    pks = [pk for pk, _ in wrong]
    for start in range(0, len(pks), _BATCH):
        with database.write() as session:
            refresh_track_texts(session, pks[start : start + _BATCH])
    return _check(checked, wrong, repaired=len(wrong))


def read_documents(
    session: Session, pks: Sequence[int], *, lock: bool = False
) -> dict[int, Document]:
    """The words of these tracks as their rows and tags are now; `lock` holds them so."""
    query = select(Track.pk, *_SOURCES).where(Track.pk.in_(pks)).order_by(Track.pk)
    if lock:
        # Two transactions that change one track's title and tags must each see the other's.
        query = query.with_for_update(key_share=True)
    rows = session.execute(query).all()
    labels: dict[int, set[str]] = {}
    # While the library changes to another model a track has the tags of both.
    active = active_model_id()
    tags = select(TrackTag.track_pk, TrackTag.label).where(
        TrackTag.track_pk.in_(pks),
        TrackTag.assigned,
        or_(active.is_(None), TrackTag.model_id == active),
    )
    for track_pk, label in session.execute(tags):
        labels.setdefault(track_pk, set()).add(label)
    return {row.pk: document_of(row._asdict(), labels.get(row.pk, ())) for row in rows}


def _write(session: Session, documents: dict[int, Document]) -> None:
    if not documents:
        return
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        _remove(session, list(documents))  # FTS5 tables take no ON CONFLICT
        values = [{"pk": pk, **document.columns()} for pk, document in documents.items()]
    else:
        values = [{"pk": pk, "words": lexemes(document)} for pk, document in documents.items()]
    session.execute(text(_INSERT[dialect]), values)


def _remove(session: Session, pks: Sequence[int]) -> None:
    if pks:
        statement = text(_DELETE[session.get_bind().dialect.name])
        session.execute(statement, [{"pk": pk} for pk in pks])


def lexemes(document: Document) -> list[str]:
    """Every word behind its column's letter, sorted as PostgreSQL does not promise to."""
    columns = document.columns()
    return sorted({LETTERS[name] + word for name in COLUMNS for word in columns[name].split()})


def _differences(session: Session) -> Iterator[tuple[int, str]]:
    """Each wrong track's number, and how it is wrong, in batches over both tables."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    after = -1
    while True:
        stored = _stored_after(session, after)
        query = select(Track.pk).where(Track.pk > after).order_by(Track.pk).limit(_BATCH)
        pks = set(session.scalars(query))
        # The batches end at different tracks: compare as far as both reach.
        reach = min((max(part) for part in (stored, pks) if len(part) == _BATCH), default=None)
        if reach is not None:
            pks = {pk for pk in pks if pk <= reach}
            stored = {pk: words for pk, words in stored.items() if pk <= reach}
        documents = read_documents(session, sorted(pks))
        for pk in sorted(pks | stored.keys()):
            if pk not in stored:
                yield pk, "missing"
            elif pk not in documents:
                yield pk, "extra"
            elif stored[pk] != _as_stored(documents[pk], is_sqlite):
                yield pk, "different"
        if reach is None:
            return
        after = reach


def _stored_after(session: Session, after: int) -> dict[int, Any]:
    dialect = session.get_bind().dialect.name
    rows = session.execute(text(_ROWS_AFTER[dialect]), {"after": after, "count": _BATCH})
    if dialect == "sqlite":
        return {row.pk: tuple(row)[1:] for row in rows}
    return {row.pk: sorted(row.words) for row in rows}


def _as_stored(document: Document, is_sqlite: bool) -> Any:
    return tuple(document.columns().values()) if is_sqlite else lexemes(document)


def _check(checked: int, wrong: Iterable[tuple[int, str]], repaired: int = 0) -> TextCheck:
    kinds = [kind for _, kind in wrong]
    return TextCheck(
        checked, kinds.count("missing"), kinds.count("extra"), kinds.count("different"), repaired
    )
