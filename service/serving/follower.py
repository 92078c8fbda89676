"""Keeps a process on the model that the library is served with, and makes the next one ready.

SQL says which model that is (service/switching/registry.py); each process looks at it once a poll.
The next model is loaded, and its index opened, beside the one in use. When the row changes, or as
soon as this process is ready after that, new requests get the new set and old ones end on the old.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from service.database.engine import Database
from service.database.tables import ServedModel
from service.inference.encoder import EncoderState
from service.keywords.store import repair_texts
from service.serving.model import ModelServices
from service.switching import registry, switch
from service.worker.loop import Desk

log = logging.getLogger(__name__)

GRACE_S = 60.0
"""How long requests may go on with the model before, after a switch."""

RELOAD_S = 60.0
TIDY_S = 5.0


class ModelFollower:
    """The sets of this process: one in use, at most one in the making, and those that end.

    `make(source)` builds a set, not started. `searches`: this process answers queries, so it needs
    an index, and may finish a change, because it is ready for what comes then.
    """

    def __init__(
        self,
        database: Database,
        first: ModelServices,
        make: Callable[[str | None], ModelServices],
        *,
        poll_s: float = 1.0,
        grace_s: float = GRACE_S,
    ) -> None:
        self._database = database
        self._make = make
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._current = first
        self._standby: ModelServices | None = None
        self._standby_for: tuple[str, str | None] | None = None
        self._retry_at = 0.0
        self._tidy_at = 0.0
        self._ending: list[tuple[float, ModelServices]] = []
        self._problem: str | None = None
        self._searches = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> ModelServices:
        """The set that a new request uses."""
        return self._current

    def desks(self) -> Sequence[Desk]:
        """Where a worker finds jobs: the model in use first, then the one in the making."""
        standby = self._standby
        ready = standby is not None and standby.loaded_id is not None
        return [self._current.desk, *([standby.desk] if standby is not None and ready else [])]

    @property
    def problem(self) -> str | None:
        """Why this process cannot get the model ready that it should have; None otherwise."""
        return self._problem

    def start(self, *, searches: bool) -> None:
        self._searches = searches
        self._current.start(searches=searches)
        self._thread = threading.Thread(target=self._run, name="model-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close every set."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._end_standby()
        for _, ended in self._ending:
            ended.close()
        self._ending.clear()
        self._current.close()

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.look()
            except Exception:
                log.exception("could not look which model to serve; trying again")

    def look(self) -> None:
        """Do what is to be done now."""
        self._end_old()
        if self._current.loaded_id is None:
            return
        with self._database.read() as session:
            standing = registry.read_standing(session)
        if standing.active is None:
            return
        if standing.active.model_id != self._current.loaded_id:
            self._prepare(standing.active)
            self._follow(standing.active)
        elif standing.next is not None:
            self._prepare(standing.next)
            self._finish()
        else:
            self._end_standby()
            self._problem = None
        self._tidy(standing.active)

    # --- getting ready --------------------------------------------------------------------------

    def _prepare(self, wanted: ServedModel) -> None:
        key = (wanted.model_id, wanted.source)
        if self._standby_for != key:
            self._end_standby()
        if self._standby is None and time.monotonic() >= self._retry_at:
            log.info("loading model %s (%s) beside the one in use", wanted.name, wanted.model_id)
            self._standby, self._standby_for = self._make(wanted.source), key
            self._standby.start(searches=self._searches)
        elif self._standby is not None:
            self._check(self._standby, wanted)

    def _check(self, standby: ModelServices, wanted: ServedModel) -> None:
        loaded = standby.loaded_id
        if loaded == wanted.model_id:
            self._problem = None
            self._note_problem(wanted, None)
        elif loaded is not None:
            self._give_up(wanted, f"what {wanted.source or 'the default'} holds now is {loaded}")
        elif standby.encoder.state is EncoderState.FAILED:
            self._give_up(wanted, f"it could not be loaded: {standby.encoder.failure}")

    def _give_up(self, wanted: ServedModel, problem: str) -> None:
        """Try again later: the folder may be brought back."""
        log.error("model %s is not to be had: %s", wanted.model_id, problem)
        self._note_problem(wanted, problem)
        self._end_standby()
        self._problem = f"model {wanted.name}: {problem}"
        self._retry_at = time.monotonic() + RELOAD_S

    def _note_problem(self, wanted: ServedModel, problem: str | None) -> None:
        with self._database.read() as session:
            present = registry.find_next(session)
        if present and present.model_id == wanted.model_id and present.problem != problem:
            with self._database.write() as session:
                registry.note_problem(session, wanted.model_id, problem)

    def _end_standby(self) -> None:
        standby, self._standby, self._standby_for = self._standby, None, None
        if standby is not None:
            self._ending.append((time.monotonic(), standby))

    # --- switching ------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Switch for everyone, once nothing is missing and this process is ready to follow."""
        if self._searches and self._standby is not None and self._standby.is_ready:
            finished = switch.try_finish(self._database)
            if finished is not None:
                log.info("the library is served with model %s from now on", finished)

    def _follow(self, active: ServedModel) -> None:
        standby = self._standby
        if standby is None or standby.loaded_id != active.model_id or not standby.is_ready:
            return
        old, self._current = self._current, standby
        self._problem = None
        self._standby, self._standby_for = None, None
        self._ending.append((time.monotonic(), old))
        self._tidy_at = 0.0
        log.info("answering with model %s (%s)", active.name, active.model_id)

    def _end_old(self) -> None:
        now = time.monotonic()
        for ended in [old for old in self._ending if now - old[0] >= self._grace_s]:
            self._ending.remove(ended)
            ended[1].close()

    def _tidy(self, active: ServedModel) -> None:
        """What a switch leaves to be done: jobs of the model before, words from its tags."""
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + TIDY_S
        adopted = switch.adopt_waiting_jobs(self._database)
        if adopted:
            log.info("%d jobs of another model go on as jobs of the one in use", adopted)
        with self._database.read() as session:
            are_old = registry.words_are_old(session)
        if are_old:
            repair_texts(self._database)
            with self._database.write() as session:
                registry.note_words(session, active.model_id)
