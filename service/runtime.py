"""Builds the services of one process from its settings, and starts and stops them in order.

Nothing here runs at import or on building: `start` opens what must be opened. The model loads in
the background, and until it is there calls that need it are answered 503.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from models.interface import MusicTextEncoder
from service.access.gate import Gate, limits_from
from service.access.policy import AccessPolicy
from service.audio.decode import probe
from service.audio.results import DecodeLimits
from service.audit import AuditLog
from service.blobs.factory import open_blob_store
from service.blobs.store import PendingBlob
from service.database.engine import Database
from service.demo.ingest import offer_demo_library
from service.errors import Unavailable
from service.exchange.service import ExchangeService
from service.imports.delivery import WebhookSender
from service.imports.folders import AllowedFolders
from service.imports.runner import ImportRunner
from service.imports.service import ImportService
from service.imports.webhooks import WebhookRules
from service.index_sync.factory import forget_snapshots
from service.index_sync.projection import Projection
from service.index_sync.shared import SharedProjection
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle
from service.inference.observed import Batch, observed
from service.ingest.upload import UploadService
from service.jobs.queue import JobQueue
from service.jobs.service import JobService
from service.jobs.workers import Role, WorkerRegistry
from service.keys import KeyService
from service.search.service import SearchService
from service.search.unstored import UnstoredClip
from service.serving.first import FirstModel, LoadModel, identity_of, source_of
from service.serving.follower import ModelFollower
from service.serving.model import Ground, ModelServices
from service.serving.signs import sign_of
from service.settings import Settings
from service.switching import registry
from service.switching.registry import ModelIdentity
from service.switching.service import ModelChanges
from service.tagging.distribution import DistributionService
from service.tagging.service import TaggingService
from service.tagging.store import offer_standard
from service.tagging.stored import StoredTagService
from service.tagging.vocabularies import VocabularyService
from service.tracks.blob_owners import collect_orphans
from service.tracks.bulk import BulkService
from service.tracks.facets import FacetService
from service.tracks.service import TrackService
from service.worker.loop import Worker
from service.worker.marks import WorkerMarks
from service.worker.presence import Presence

log = logging.getLogger(__name__)

PROBES_AT_ONCE = 4
"""Decoder processes that uploads may have running; more uploads wait their turn."""

AUDIT_PRUNED_EVERY_S = 3600.0

Identify = Callable[[str | None], ModelIdentity | None]


class Services:
    """Everything that endpoints, workers and commands use; built once per process."""

    def __init__(
        self, settings: Settings, load_model: LoadModel, identify: Identify = lambda _: None
    ) -> None:
        self.settings = settings
        self.database = Database(settings.resolved_database_url)
        self.blobs = open_blob_store(settings)
        self._build_access(settings)
        self.limits = DecodeLimits(
            memory_bytes=settings.decode_memory_bytes,
            cpu_s=settings.decode_cpu_s,
            timeout_s=settings.decode_timeout_s,
        )
        self.probe_turns = asyncio.Semaphore(PROBES_AT_ONCE)
        self.batch_listeners: list[Callable[[Batch], None]] = []
        self._stopping = threading.Event()
        self._housekeeping: threading.Thread | None = None
        self._build_models(settings, load_model, identify)
        self._build_library_services(settings)

    def _build_access(self, settings: Settings) -> None:
        self.access = AccessPolicy.from_settings(settings)
        self.gate = Gate(self.database, self.access, limits_from(settings, self.access))
        self.keys = KeyService(self.database, guards_admin=self.access.asks_for_keys)
        self.audit = AuditLog(self.database)

    def _build_models(self, settings: Settings, load_model: LoadModel, identify: Identify) -> None:
        ground = Ground(settings, self.database, self.blobs, self.limits)

        def make(load: Callable[[], MusicTextEncoder]) -> ModelServices:
            return ModelServices(ground, lambda: observed(load(), self._tell_batch))

        first = FirstModel(self.database, settings.model, load_model, self._stopping)
        self.follower = ModelFollower(
            self.database,
            make(first.load),
            lambda source: make(lambda: load_model(source)),
            poll_s=settings.index_poll_s,
        )
        self._pinned: ModelServices | None = None
        self.models = ModelChanges(
            self.database,
            lambda source: identify(source) or identity_of(load_model(source), source),
            max_attempts=settings.job_max_attempts,
        )

    # --- what is bound to a model: of the one in use now, or of the one a request began with -----

    @property
    def model(self) -> ModelServices:
        return self._pinned or self.follower.current

    @property
    def encoder(self) -> EncoderHandle:
        return self.model.encoder

    @property
    def texts(self) -> TextEmbedder:
        return self.model.texts

    @property
    def index(self) -> Projection | SharedProjection:
        return self.model.index

    @property
    def search(self) -> SearchService:
        return self.model.search

    @property
    def tagging(self) -> TaggingService:
        return self.model.tagging

    @property
    def stored_tags(self) -> StoredTagService:
        return self.model.stored_tags

    @property
    def distributions(self) -> DistributionService:
        return self.model.distributions

    @property
    def vocabularies(self) -> VocabularyService:
        return self.model.vocabularies

    @property
    def exchange(self) -> ExchangeService:
        return self.model.exchange

    def find_model_id(self) -> str | None:
        """The model in use, also while it loads; None before a library's first start has one."""
        return self.model.loaded_id or self.models.active_id()

    def pinned(self) -> Services:
        """The same services, bound to the model in use now for as long as this object is used."""
        view = copy.copy(self)
        view._pinned = self.model
        return view

    def _build_library_services(self, settings: Settings) -> None:
        self.tracks = TrackService(self.database, self.blobs)
        self.bulk = BulkService(self.database, self.blobs)
        self.facets = FacetService(self.database)
        self.jobs = JobService(self.database, max_attempts=settings.job_max_attempts)
        self.queue = JobQueue(
            self.database, lease_s=settings.job_lease_s, max_attempts=settings.job_max_attempts
        )
        self.uploads = UploadService(
            self.database,
            self.blobs,
            probe=lambda path: probe(path, self.limits),
            model_id=lambda: self.encoder.get().model_id,
            max_bytes=settings.max_upload_bytes,
            max_attempts=settings.job_max_attempts,
        )
        self.worker = Worker(self.queue, self.follower.desks, poll_s=settings.job_poll_s)
        self.workers = WorkerRegistry(self.database, alive_s=settings.job_lease_s)
        self._presence = Presence(
            self.workers,
            WorkerMarks(settings.data_dir / "workers"),
            self.worker.owner,
            lambda: sign_of(self.follower, self.worker),
            on_freed=self.worker.wake,
        )
        self._build_import_services(settings)

    def _build_import_services(self, settings: Settings) -> None:
        folders = AllowedFolders(settings.import_folders)
        webhooks = WebhookRules(settings.http_hosts, settings.webhook_private)
        self.imports = ImportService(
            self.database, folders, webhooks, max_attempts=settings.job_max_attempts
        )
        self.import_runner = ImportRunner(
            self.database,
            self.uploads,
            self.tracks,
            folders,
            owner=self.worker.owner,
            lease_s=settings.job_lease_s,
            poll_s=settings.job_poll_s,
            on_stored=self.worker.wake,
        )
        self.webhooks = WebhookSender(self.database, webhooks, poll_s=settings.job_poll_s)

    async def embed_upload(self, pending: PendingBlob) -> UnstoredClip:
        """What the model makes of a received file that is not kept; raises DecodeError."""
        await asyncio.to_thread(pending.finish)
        return await self.model.unstored.embed(pending.path)

    def _tell_batch(self, batch: Batch) -> None:
        for listener in self.batch_listeners:
            listener(batch)

    def start(self) -> None:
        """Begin to load the model, and start the index, the worker and the demo library."""
        offer_standard(self.database)
        self.follower.start(searches=True)
        if self.settings.worker == "thread":
            self.arrive("service")
            self.worker.start()
            self.start_batches()
        self._housekeeping = threading.Thread(
            target=self._keep_house, name="housekeeping", daemon=True
        )
        self._housekeeping.start()

    def arrive(self, role: Role) -> None:
        """Let it be known that a worker is here, how it is, and when it dies."""
        self._presence.start(role)

    def leave(self, problem: str | None = None) -> None:
        """Say that it ends, and why if it should not; safe where nothing arrived."""
        self._presence.stop(problem)

    def start_batches(self) -> None:
        """What a worker does beside its jobs: take batches in, and tell of their ends."""
        self.import_runner.start()
        self.webhooks.start()

    def stop_batches(self) -> None:
        """End both; safe where they were not started."""
        self.import_runner.stop()
        self.webhooks.stop()

    def ask_to_stop(self) -> None:
        """Ask without waiting; safe in a signal handler."""
        self._stopping.set()
        self.worker.ask_to_stop()

    def stop(self) -> None:
        """Give a running job back, save the index, end the model's thread."""
        self.ask_to_stop()
        self.stop_batches()
        self.worker.stop()
        self.leave()
        if self._housekeeping is not None:
            self._housekeeping.join()
        self.follower.stop()
        self.database.dispose()

    def _keep_house(self) -> None:
        """What a start owes to the last end, and to a first user; nobody has to wait for it."""
        try:
            self.blobs.remove_stale_uploads()
            collect_orphans(self.database, self.blobs)
        except Unavailable:
            log.warning("the file store did not answer: orphans are collected at the next start")
        except Exception:
            log.exception("orphans could not be collected; the next start tries again")
        self._forget_snapshots()
        if self.settings.demo_library:
            offer_demo_library(
                self.database, self.encoder, self.uploads, stopping=self._stopping.is_set
            )
        self._prune_audit()
        while not self._stopping.wait(AUDIT_PRUNED_EVERY_S):
            self._prune_audit()

    def _forget_snapshots(self) -> None:
        """Saved indexes of models that were pruned since the last start."""
        try:
            with self.database.read() as session:
                known = {model.model_id for model in registry.list_known(session)}
            if known:
                forget_snapshots(self.settings, known)
        except Exception:
            log.exception("saved indexes of pruned models were not removed")

    def _prune_audit(self) -> None:
        try:
            self.audit.prune(self.settings.audit_days)
        except Exception:
            log.exception("old entries of the audit log were not removed; trying again later")


def build_services(
    settings: Settings,
    load_encoder: Callable[[], MusicTextEncoder] | None = None,
    *,
    load_model: LoadModel | None = None,
) -> Services:
    """The services as the settings want them; tests pass an encoder, or a loader, of their own."""
    if load_encoder is not None:
        return Services(settings, lambda _source: load_encoder())
    if load_model is not None:
        return Services(settings, load_model)
    return Services(settings, bundle_loader(settings), lambda source: bundle_of(settings, source))


def bundle_loader(settings: Settings) -> LoadModel:
    """Loads the bundle of a name or folder, as the settings say how."""

    def load(source: str | None) -> MusicTextEncoder:
        import models

        return models.load_bundle(
            source,
            device=settings.device,
            runtime=settings.runtime,
            precision=settings.precision,
            threads=settings.threads,
            store=model_store(settings),
        )

    return load


def bundle_of(settings: Settings, source: str | None) -> ModelIdentity | None:
    """Which model a bundle says it is; None for a folder that must be loaded to know.

    Raises ModelError.
    """
    from models.bundle.disk import read_manifest
    from models.bundle.loading import find_bundle_folder
    from models.bundle.manifest import MANIFEST_FILE

    folder = find_bundle_folder(source, store=model_store(settings))
    if not (folder / MANIFEST_FILE).is_file():
        return None
    found = read_manifest(folder)
    return ModelIdentity(
        found.model_id, source_of(source), found.name, found.licence, found.embed_dim
    )


def model_store(settings: Settings) -> Path:
    """Where `muquery model pull` puts models."""
    return settings.data_dir / "models"
