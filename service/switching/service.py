"""What administrators do with models: look, add, change to, go back, prune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select

from models.errors import ModelError
from service.database.engine import Database
from service.database.tables import ServedModel, TrackVector
from service.errors import InvalidRequest
from service.switching import registry, switch
from service.switching.progress import SwitchProgress, read_progress
from service.switching.registry import ModelIdentity, NextModel


class ModelUnusable(InvalidRequest):
    code = "model_unusable"
    default_message = "There is no model of that name or in that folder that could be loaded."


@dataclass(frozen=True)
class KnownModel:
    """A model with the number of tracks that have its vectors; `state` active, next or unused."""

    model: ServedModel
    state: str
    tracks: int


@dataclass(frozen=True)
class Change:
    """A change of model under way, and how far it is."""

    next: NextModel
    progress: SwitchProgress


@dataclass(frozen=True)
class ModelStanding:
    """All known models, and the change that is under way."""

    models: list[KnownModel]
    change: Change | None


class ModelChanges:
    """`identify(source)` says which model a name or folder holds; it may take as long as loading.

    It raises ModelError or OSError where there is none.
    """

    def __init__(
        self,
        database: Database,
        identify: Callable[[str | None], ModelIdentity],
        *,
        max_attempts: int = 3,
    ) -> None:
        self._database = database
        self._identify = identify
        self._max_attempts = max_attempts

    def standing(self) -> ModelStanding:
        counted = select(TrackVector.model_id, func.count()).group_by(TrackVector.model_id)
        with self._database.read() as session:
            counts = {row[0]: row[1] for row in session.execute(counted)}
            known = registry.list_known(session)
            active, wanted = registry.find_active(session), registry.find_next(session)
            progress = None if wanted is None else read_progress(session, wanted.model_id)
        states = {
            **({} if wanted is None else {wanted.model_id: "next"}),
            **({} if active is None else {active.model_id: "active"}),
        }
        models = [
            KnownModel(model, states.get(model.model_id, "unused"), counts.get(model.model_id, 0))
            for model in known
        ]
        change = Change(wanted, progress) if wanted and progress else None
        return ModelStanding(models, change)

    def active_id(self) -> str | None:
        """The id of the model in use; None before the first start."""
        with self._database.read() as session:
            return session.scalar(select(registry.active_model_id()))

    def add(self, source: str | None) -> ServedModel:
        """Remember a model by its name or folder; raises ModelUnusable."""
        try:
            identity = self._identify(source)
        except (ModelError, OSError) as error:
            raise ModelUnusable(source=source) from error
        with self._database.write() as session:
            registry.register(session, identity)
        with self._database.read() as session:
            return registry.get_model(session, identity.model_id)

    def begin(self, model_id: str, *, allow_missing: bool = False) -> None:
        """Raises ModelNotFound, AlreadyActive."""
        switch.begin(
            self._database, model_id, allow_missing=allow_missing, max_attempts=self._max_attempts
        )

    def cancel(self) -> str:
        """Raises NoModelChange."""
        return switch.cancel(self._database)

    def prune(self, model_id: str) -> int:
        """Raises ModelNotFound, ModelInUse."""
        return switch.prune(self._database, model_id)
