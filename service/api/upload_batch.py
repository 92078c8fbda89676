"""An upload as part of its import, or of none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool

from service.errors import MuqueryError, Unavailable
from service.ids import is_id
from service.imports.admission import SentFile
from service.imports.errors import ImportClosed, ImportNotFound
from service.imports.folders import printable
from service.runtime import Services

_NAMELESS = "unnamed"
_NOT_THE_FILES_FAULT = (Unavailable, ImportNotFound, ImportClosed)


class UploadBatch:
    """What an upload means for the import that it names."""

    def __init__(self, services: Services, import_id: str | None, path: str | None) -> None:
        self._database = services.database
        self._import_id = import_id
        self._path = path
        self._admission: SentFile | None = None

    def check(self) -> None:
        """Refuse before the body is read; raises ImportNotFound, ImportClosed."""
        if self._import_id is None:
            return
        if not is_id(self._import_id):
            raise ImportNotFound
        self._admission = SentFile(self._import_id, _shown(self._path or _NAMELESS))
        with self._database.read() as session:
            self._admission.check(session)

    def admit(self, filename: str) -> SentFile | None:
        """The file's way into the import, once its name is known."""
        if self._import_id is not None and self._path is None:
            self._admission = SentFile(self._import_id, _shown(filename or _NAMELESS))
        return self._admission

    @asynccontextmanager
    async def noting_refusals(self) -> AsyncIterator[None]:
        """Note in the import why the file was refused, if it was the file's own fault."""
        try:
            yield
        except MuqueryError as error:
            if self._admission is not None and not isinstance(error, _NOT_THE_FILES_FAULT):
                await run_in_threadpool(self._admission.refuse, self._database, error)
            raise


def _shown(path: str) -> str:
    return printable(path.encode("utf-8", "surrogatepass"))
