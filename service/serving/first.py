"""The model that a process begins with: the one that the library is served with, if it has one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from models.interface import MusicTextEncoder
from service.database.engine import Database, LockSpace, lock_until_commit
from service.database.tables import ServedModel
from service.errors import Unavailable
from service.switching import registry
from service.switching.registry import ModelIdentity

log = logging.getLogger(__name__)

LoadModel = Callable[[str | None], MusicTextEncoder]
"""Loads a model by its name or folder, or the default one by None."""

T = TypeVar("T")
_RETRY_S = 1.0


class FirstModel:
    """Chooses and loads it. `wanted` is what the settings name: it counts for a new library only.

    A library keeps the model that it was analysed with until someone changes it: another name in
    the settings of one process must not leave a whole library without vectors.
    """

    def __init__(
        self, database: Database, wanted: str | None, load: LoadModel, stopping: threading.Event
    ) -> None:
        self._database = database
        self._wanted = source_of(wanted)
        self._load = load
        self._stopping = stopping

    def load(self) -> MusicTextEncoder:
        """Raises what loading raises; waits for a database that does not answer yet."""
        active = self._patiently(self._find_active)
        source = self._wanted if active is None else active.source
        encoder = self._load(source)
        self._patiently(lambda: self._adopt(identity_of(encoder, source), active))
        if active is not None and self._wanted != source and self._wanted is not None:
            log.warning(
                "MUQUERY_MODEL names %s, but this library is served with %s; "
                "`muquery model use %s` changes it without a pause",
                self._wanted, source or "the default model", self._wanted,
            )  # fmt: skip
        return encoder

    def _find_active(self) -> ServedModel | None:
        with self._database.read() as session:
            return registry.find_active(session)

    def _adopt(self, loaded: ModelIdentity, active: ServedModel | None) -> None:
        if active is not None and active.model_id == loaded.model_id:
            return
        with self._database.write() as session:
            if active is None:
                registry.adopt_first(session, loaded)
                return
            log.warning(
                "%s holds another model than before (%s, was %s): the library is analysed anew",
                loaded.source or "the default", loaded.model_id, active.model_id,
            )  # fmt: skip
            lock_until_commit(session, LockSpace.MODELS)
            registry.register(session, loaded)
            present = registry.find_active(session)
            if present is not None and present.model_id == active.model_id:
                registry.set_active(session, loaded.model_id)

    def _patiently(self, act: Callable[[], T]) -> T:
        while True:
            try:
                return act()
            except SQLAlchemyError:
                log.exception("the database does not answer; the model waits for it")
            if self._stopping.wait(_RETRY_S):
                raise Unavailable("The service is shutting down.")


def source_of(name: str | None) -> str | None:
    """A model's name as it is stored: a folder by its whole path, whatever the present one is."""
    if name is None:
        return None
    folder = Path(name)
    return str(folder.resolve()) if folder.is_dir() else name


def identity_of(encoder: MusicTextEncoder, source: str | None) -> ModelIdentity:
    return ModelIdentity(
        encoder.model_id, source_of(source), encoder.name, encoder.licence, encoder.embed_dim
    )
