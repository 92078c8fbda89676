"""The audit log: who tried to change what, when, and how it ended.

An act is written with the first transaction that it commits, so that no change is without its row,
and completed when its outcome is known; an act that changed nothing is written then. A row that
stays at "begun" is of a process that died in between. Rows name things by their ids and never hold
secrets, texts or file contents.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, CursorResult, delete, func, select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.paging import Keyset, Page
from service.database.tables import ApiKey, AuditEntry, AuditOutcome
from service.tracks.metadata import clean_text

ActorKind = Literal["key", "open", "local"]
TARGET_CHARS = 200
_PRUNED_AT_ONCE = 5_000


@dataclass(frozen=True)
class Actor:
    """Who acts: a key, a caller of a service that asks for none, or the command line."""

    kind: ActorKind
    key_id: str | None = None
    address: str | None = None


LOCAL = Actor("local")


@dataclass(frozen=True)
class AuditView:
    """An entry with the name of the key that it names."""

    entry: AuditEntry
    key_name: str | None


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to list; a None asks for nothing."""

    actor: str | None = None
    key_id: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [
            getattr(AuditEntry, name) == wanted
            for name in ("actor", "key_id", "action", "target", "outcome")
            if (wanted := getattr(self, name)) is not None
        ]
        if self.since is not None:
            found.append(AuditEntry.at >= self.since)
        if self.until is not None:
            found.append(AuditEntry.at < self.until)
        return found


class Act:
    """One attempt to change something, from its beginning to its outcome."""

    def __init__(
        self, actor: Actor, action: str, *, target: str | None = None, request_id: str | None = None
    ) -> None:
        self._actor = actor
        self._action = action
        self._target = target
        self._request_id = request_id
        self._lock = threading.Lock()
        self._pk: int | None = None
        self._ended = False

    def note_target(self, target: str) -> None:
        """Name what was changed, where it was not known before."""
        self._target = target

    def add_to(self, session: Session) -> None:
        """Put the row into this transaction, unless an earlier one has it."""
        with self._lock:
            if self._pk is None and not self._ended:
                self._pk = self._insert(session, AuditOutcome.BEGUN, None)

    def end(self, database: Database, outcome: AuditOutcome, status: int | None = None) -> None:
        """Note how it ended, in a transaction of its own."""
        with self._lock:
            self._ended = True
        with database.write() as session:
            if not self._complete(session, outcome, status):
                self._insert(session, outcome, status)

    def _complete(self, session: Session, outcome: AuditOutcome, status: int | None) -> bool:
        """False where the row's own transaction was rolled back, or there was none."""
        if self._pk is None:
            return False
        values = {"outcome": outcome, "status": status, "target": self._stored_target()}
        # Not by its number alone: after a rollback the number may be somebody else's.
        statement = update(AuditEntry).where(
            AuditEntry.pk == self._pk,
            AuditEntry.outcome == AuditOutcome.BEGUN,
            AuditEntry.request_id == self._request_id,
        )
        return cast("CursorResult[Any]", session.execute(statement.values(**values))).rowcount == 1

    def _insert(self, session: Session, outcome: AuditOutcome, status: int | None) -> int:
        entry = AuditEntry(
            at=database_now(session),
            actor=self._actor.kind,
            key_id=self._actor.key_id,
            address=self._actor.address,
            action=self._action[:64],
            target=self._stored_target(),
            request_id=self._request_id,
            outcome=outcome,
            status=status,
        )
        session.add(entry)
        session.flush()
        return entry.pk

    def _stored_target(self) -> str | None:
        return None if self._target is None else clean_text(self._target, TARGET_CHARS)


def outcome_of(status: int) -> AuditOutcome:
    """What an HTTP status says of an act: 4xx was refused, 5xx (or none at all) failed."""
    if 0 < status < 400:
        return AuditOutcome.OK
    return AuditOutcome.REFUSED if 400 <= status < 499 else AuditOutcome.FAILED


def record(session: Session, actor: Actor, action: str, target: str | None = None) -> None:
    """Add an act that is done with this very transaction."""
    Act(actor, action, target=target)._insert(session, AuditOutcome.OK, None)


class AuditLog:
    """The log as administrators read it; rows come back detached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_entries(
        self, wanted: AuditFilter, *, limit: int = 50, cursor: str | None = None
    ) -> Page[AuditView]:
        """Newest first; raises InvalidCursor."""
        keyset = Keyset("at", AuditEntry.at.expression, AuditEntry.pk.expression, True)
        conditions = wanted.conditions()
        query = (
            select(AuditEntry, ApiKey.name)
            .outerjoin(ApiKey, ApiKey.id == AuditEntry.key_id)
            .where(*conditions, *keyset.after(cursor))
            .order_by(*keyset.order_by())
            .limit(limit + 1)
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
            count = select(func.count()).select_from(AuditEntry).where(*conditions)
            total = session.scalar(count) or 0
        views = [AuditView(*row) for row in rows[:limit]]
        more = None
        if len(rows) > limit:
            more = keyset.cursor(views[-1].entry.at, views[-1].entry.pk)
        return Page(views, total, more)

    def prune(self, keep_days: int) -> int:
        """Delete what is older, in small transactions; returns how many. 0 days keep all."""
        removed = 0
        while keep_days > 0:
            with self._database.write() as session:
                before = database_now(session) - timedelta(days=keep_days)
                old = (
                    select(AuditEntry.pk)
                    .where(AuditEntry.at < before)
                    .order_by(AuditEntry.at)
                    .limit(_PRUNED_AT_ONCE)
                )
                done = session.execute(delete(AuditEntry).where(AuditEntry.pk.in_(old)))
                count = cast("CursorResult[Any]", done).rowcount
            removed += count
            if count < _PRUNED_AT_ONCE:
                break
        return removed
