"""Which model the library is served with, which one it is changing to, and which ones it has known.

    served_models                   every model that vectors were or are to be made with
    service_state "active_model"    the id of the one that every process answers with
    service_state "next_model"      JSON: the one that tracks are being analysed for beside it
    service_state "words_model"     the id of the one whose tags are among the tracks' words

Changing the first row is the whole switch; everything else prepares for it. It is a plain id, so
that a query can compare with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from service.database.base import utc_now
from service.database.engine import LockSpace, database_now, lock_until_commit
from service.database.tables import ServedModel, ServiceState
from service.errors import NotFound

ACTIVE, NEXT, WORDS = "active_model", "next_model", "words_model"


class ModelNotFound(NotFound):
    code, default_message = "model_not_found", "No model has this id here."


@dataclass(frozen=True)
class ModelIdentity:
    """What tells a model apart, and where to load it: a name, a folder, or None for the default."""

    model_id: str
    source: str | None
    name: str
    licence: str
    embed_dim: int


@dataclass(frozen=True)
class NextModel:
    """A change that is under way; `problem` says why it does not get on."""

    model_id: str
    started_at: str
    allow_missing: bool = False
    problem: str | None = None

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self.started_at)


@dataclass(frozen=True)
class Standing:
    """What a process follows: the model in use, and the one to be made ready, with their rows."""

    active: ServedModel | None
    next: ServedModel | None


def active_model_id() -> ScalarSelect[Any]:
    """The id of the model in use, as a part of a query; NULL before a first start."""
    return select(ServiceState.value).where(ServiceState.key == ACTIVE).scalar_subquery()


def find_active(session: Session) -> ServedModel | None:
    """The model in use; None before the first start with one."""
    return session.scalar(select(ServedModel).where(ServedModel.model_id == active_model_id()))


def find_next(session: Session) -> NextModel | None:
    """The change that is under way."""
    row = session.get(ServiceState, NEXT)
    return None if row is None else NextModel(**json.loads(row.value))


def read_standing(session: Session) -> Standing:
    active, wanted = find_active(session), find_next(session)
    return Standing(active, None if wanted is None else session.get(ServedModel, wanted.model_id))


def get_model(session: Session, model_id: str) -> ServedModel:
    """Raises ModelNotFound."""
    model = session.get(ServedModel, model_id)
    if model is None:
        raise ModelNotFound(model_id=model_id[:64])
    return model


def list_known(session: Session) -> list[ServedModel]:
    return list(session.scalars(select(ServedModel).order_by(ServedModel.added_at)))


def register(session: Session, model: ModelIdentity) -> None:
    """Remember a model, or where a known one is loaded from now; the caller commits."""
    values = {**asdict(model), "added_at": utc_now()}
    changes = {name: values[name] for name in ("source", "name", "licence")}
    _upsert(session, ServedModel, "model_id", values, changes)


def adopt_first(session: Session, model: ModelIdentity) -> str:
    """Make it the model in use if there is none yet; the id of the one in use then."""
    lock_until_commit(session, LockSpace.MODELS)
    active = find_active(session)
    if active is not None:
        return active.model_id
    register(session, model)
    set_active(session, model.model_id)
    note_words(session, model.model_id)
    return model.model_id


def set_active(session: Session, model_id: str) -> None:
    """Switch: every process follows within its next poll. The caller holds the lock MODELS."""
    values = {"key": ACTIVE, "value": model_id}
    _upsert(session, ServiceState, "key", values, {"value": model_id})


def set_next(session: Session, model_id: str, *, allow_missing: bool) -> NextModel:
    """Begin a change, or go on with one to the same model. The caller holds the lock MODELS."""
    present = find_next(session)
    if present is not None and present.model_id == model_id:
        wanted = replace(present, allow_missing=allow_missing)
    else:
        wanted = NextModel(model_id, database_now(session).isoformat(), allow_missing)
    _store_next(session, wanted)
    return wanted


def note_problem(session: Session, model_id: str, problem: str | None) -> None:
    """Say why a change does not get on (None: it does again), unless it is another one by now."""
    lock_until_commit(session, LockSpace.MODELS)
    present = find_next(session)
    if present is not None and present.model_id == model_id and present.problem != problem:
        _store_next(session, replace(present, problem=problem))


def words_are_old(session: Session) -> bool:
    """Whether the tracks' words still hold the tags of the model before."""
    words, active = session.get(ServiceState, WORDS), session.get(ServiceState, ACTIVE)
    return active is not None and (words is None or words.value != active.value)


def note_words(session: Session, model_id: str) -> None:
    values = {"key": WORDS, "value": model_id}
    _upsert(session, ServiceState, "key", values, {"value": model_id})


def clear_next(session: Session) -> None:
    session.execute(delete(ServiceState).where(ServiceState.key == NEXT))


def _store_next(session: Session, wanted: NextModel) -> None:
    text = json.dumps(asdict(wanted))
    _upsert(session, ServiceState, "key", {"key": NEXT, "value": text}, {"value": text})


def _upsert(
    session: Session, table: Any, key: str, values: dict[str, Any], changes: dict[str, Any]
) -> None:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert: Any = sqlite_insert if is_sqlite else postgresql_insert
    statement = insert(table).values(**values)
    session.execute(
        statement.on_conflict_do_update(index_elements=[key], set_=changes),
        execution_options={"populate_existing": True},
    )
    session.expire_all()
