"""Batches in a test: the services over a Library, and files to take in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.database.import_tables import ImportItem
from service.imports.admission import SentFile
from service.imports.folders import AllowedFolders
from service.imports.runner import ImportRunner
from service.imports.service import ImportService, ImportView, Wanted
from service.imports.webhooks import WebhookRules
from service.ingest.upload import Uploaded
from tests.support.audio import write_audio
from tests.support.encoder import SAMPLE_RATE_HZ, tone
from tests.support.library import Library

BROKEN = b"this is no music" * 100


class Batches:
    """One process's worth of batch services; `root` is the one folder that may be taken in."""

    def __init__(
        self,
        library: Library,
        root: Path,
        *,
        owner: str = "runner",
        rules: WebhookRules | None = None,
        lease_s: float = 60.0,
    ) -> None:
        folders = AllowedFolders((root,))
        self.library = library
        self.root = root
        self.rules = rules or WebhookRules()
        self.imports = ImportService(library.database, folders, self.rules)
        self.runner = ImportRunner(
            library.database,
            library.uploads,
            library.tracks,
            folders,
            owner=owner,
            lease_s=lease_s,
            poll_s=0.02,
        )

    def write_tone(self, name: str, frequency_hz: float = 440.0, duration_s: float = 3.0) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_audio(path, tone(frequency_hz, duration_s), SAMPLE_RATE_HZ)

    def start(self, folder: Path | None = None, **wanted: Any) -> str:
        """Start a folder's batch; its id."""
        made = self.imports.create(Wanted(folder=str(folder or self.root), **wanted))
        return made.view.batch.id

    def start_upload(self, **wanted: Any) -> str:
        return self.imports.create(Wanted(**wanted)).view.batch.id

    def send(self, import_id: str, path: Path) -> Uploaded:
        admission = SentFile(import_id, path.name)
        with path.open("rb") as file:
            return self.library.uploads.upload(
                [file.read()], filename=path.name, admission=admission
            )

    def take_in(self) -> None:
        """Let the runner do all that it can do now."""
        while self.runner.run_once():
            pass

    def finish(self) -> None:
        """Take in and analyse until nothing is left."""
        self.take_in()
        while self.library.work_all():
            self.take_in()

    def view(self, import_id: str) -> ImportView:
        return self.imports.get_import(import_id)

    def counts(self, import_id: str) -> dict[str, int]:
        """The states that files are in, without those that none is in."""
        return {k: n for k, n in self.view(import_id).progress.counts.items() if n}

    def items(self, import_id: str) -> dict[str, ImportItem]:
        query = sa.select(ImportItem).where(ImportItem.import_id == import_id)
        with self.library.database.read() as session:
            return {item.path: item for item in session.scalars(query)}
