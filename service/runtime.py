"""Builds the services of one process from its settings, and starts and stops them in order.

Nothing here runs at import or on building: `start` opens what must be opened. The model loads in
the background, and until it is there calls that need it are answered 503.
"""

from __future__ import annotations

import asyncio
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
from service.index_sync.factory import open_projection
from service.inference.batcher import ClipEmbedder, TextEmbedder
from service.inference.encoder import EncoderHandle
from service.inference.observed import Batch, observed
from service.inference.thread import ModelThread
from service.ingest.embed import EmbedTrack
from service.ingest.upload import UploadService
from service.jobs.queue import JobQueue
from service.jobs.service import JobService
from service.keys import KeyService
from service.search.service import SearchService
from service.search.unstored import UnstoredClip, UnstoredClips
from service.settings import Settings
from service.tagging.distribution import DistributionService
from service.tagging.retag import TAG, RetagLibrary
from service.tagging.service import TaggingService
from service.tagging.stored import StoredTagService
from service.tagging.tagger import TrackTagger
from service.tagging.vocabularies import VocabularyService
from service.tracks.blob_owners import collect_orphans
from service.tracks.bulk import BulkService
from service.tracks.facets import FacetService
from service.tracks.service import TrackService
from service.worker.loop import Worker

log = logging.getLogger(__name__)

PROBES_AT_ONCE = 4
"""Decoder processes that uploads may have running; more uploads wait their turn."""

AUDIT_PRUNED_EVERY_S = 3600.0

LoadEncoder = Callable[[], MusicTextEncoder]


class Services:
    """Everything that endpoints, workers and commands use; built once per process."""

    def __init__(self, settings: Settings, load_encoder: LoadEncoder) -> None:
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
        self.model_thread = ModelThread()
        self.batch_listeners: list[Callable[[Batch], None]] = []
        self.encoder = EncoderHandle(
            lambda: observed(load_encoder(), self._tell_batch), self.model_thread
        )
        self._build_model_services(settings)
        self._build_library_services(settings)
        self._stopping = threading.Event()
        self._housekeeping: threading.Thread | None = None

    def _build_access(self, settings: Settings) -> None:
        self.access = AccessPolicy.from_settings(settings)
        self.gate = Gate(self.database, self.access, limits_from(settings, self.access))
        self.keys = KeyService(self.database, guards_admin=self.access.asks_for_keys)
        self.audit = AuditLog(self.database)

    def _build_model_services(self, settings: Settings) -> None:
        self.texts = TextEmbedder(
            self.encoder,
            self.model_thread,
            max_waiting=settings.text_queue,
            batch_size=settings.text_batch,
            cache_size=settings.text_cache,
        )
        self.clips = ClipEmbedder(self.encoder, self.model_thread, batch_size=settings.clip_batch)
        self.unstored = UnstoredClips(
            self.clips, self.encoder, max_clip_s=settings.max_clip_s, limits=self.limits
        )

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
        self.index = open_projection(settings, self.database, self.encoder)
        self.search = SearchService(self.database, self.index, self.texts, self.encoder)
        self._build_tag_services(settings)
        tagger = TrackTagger(self.database, self.encoder, self.model_thread)
        retag = RetagLibrary(self.database, tagger, max_attempts=settings.job_max_attempts)
        self.worker = Worker(
            self.queue,
            EmbedTrack(
                self.database,
                self.blobs,
                self.encoder,
                self.clips,
                tagger,
                max_track_s=settings.max_track_s,
                limits=self.limits,
            ),
            self.encoder,
            library_jobs={TAG: retag},
            poll_s=settings.job_poll_s,
            on_published=self.index.wake,
        )
        self._build_import_services(settings)

    def _build_tag_services(self, settings: Settings) -> None:
        self.tagging = TaggingService(self.database, self.texts, self.encoder)
        self.stored_tags = StoredTagService(self.database, self.encoder)
        self.distributions = DistributionService(self.database, self.tagging, self.encoder)
        self.vocabularies = VocabularyService(
            self.database,
            self.tagging,
            self.stored_tags,
            self.encoder,
            max_attempts=settings.job_max_attempts,
        )

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
        self.exchange = ExchangeService(
            self.database, self.encoder, max_attempts=settings.job_max_attempts
        )
        self.webhooks = WebhookSender(self.database, webhooks, poll_s=settings.job_poll_s)

    async def embed_upload(self, pending: PendingBlob) -> UnstoredClip:
        """What the model makes of a received file that is not kept; raises DecodeError."""
        await asyncio.to_thread(pending.finish)
        return await self.unstored.embed(pending.path)

    def _tell_batch(self, batch: Batch) -> None:
        for listener in self.batch_listeners:
            listener(batch)

    def start(self) -> None:
        """Begin to load the model, and start the index, the worker and the demo library."""
        self.encoder.start()
        self.index.start()
        if self.settings.worker == "thread":
            self.worker.start()
            self.start_batches()
        self._housekeeping = threading.Thread(
            target=self._keep_house, name="housekeeping", daemon=True
        )
        self._housekeeping.start()

    def start_batches(self) -> None:
        """What a worker does beside its jobs: take batches in, and tell of their ends."""
        self.import_runner.start()
        self.webhooks.start()

    def stop_batches(self) -> None:
        """End both; safe where they were not started."""
        self.import_runner.stop()
        self.webhooks.stop()

    def stop(self) -> None:
        """Give a running job back, save the index, end the model's thread."""
        self._stopping.set()
        self.worker.ask_to_stop()
        self.stop_batches()
        self.worker.stop()
        if self._housekeeping is not None:
            self._housekeeping.join()
        self.index.stop()
        self.unstored.close()
        self.model_thread.close()
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
        if self.settings.demo_library:
            offer_demo_library(
                self.database, self.encoder, self.uploads, stopping=self._stopping.is_set
            )
        self._prune_audit()
        while not self._stopping.wait(AUDIT_PRUNED_EVERY_S):
            self._prune_audit()

    def _prune_audit(self) -> None:
        try:
            self.audit.prune(self.settings.audit_days)
        except Exception:
            log.exception("old entries of the audit log were not removed; trying again later")


def build_services(settings: Settings, load_encoder: LoadEncoder | None = None) -> Services:
    """The services as the settings want them; tests pass an encoder of their own."""
    return Services(settings, load_encoder or bundle_loader(settings))


def bundle_loader(settings: Settings) -> LoadEncoder:
    """Loads the bundle that the settings name, when called."""

    def load() -> MusicTextEncoder:
        import models

        return models.load_bundle(
            settings.model,
            device=settings.device,
            runtime=settings.runtime,
            precision=settings.precision,
            threads=settings.threads,
            store=model_store(settings),
        )

    return load


def model_store(settings: Settings) -> Path:
    """Where `muquery model pull` puts models."""
    return settings.data_dir / "models"
