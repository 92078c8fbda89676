"""Everything of a process that is bound to one model: the model itself, its index, its searches.

A request uses the parts of one such set from its beginning to its end, so that vectors of two
models can never meet in it, whatever is switched meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.interface import MusicTextEncoder
from service.audio.results import DecodeLimits
from service.blobs.store import BlobStore
from service.database.engine import Database
from service.exchange.service import ExchangeService
from service.index_sync.factory import open_projection
from service.inference.batcher import ClipEmbedder, TextEmbedder
from service.inference.encoder import EncoderHandle, EncoderState
from service.inference.thread import ModelThread
from service.ingest.embed import EmbedTrack
from service.search.service import SearchService
from service.search.unstored import UnstoredClips
from service.settings import Settings
from service.tagging.distribution import DistributionService
from service.tagging.retag import TAG, RetagLibrary
from service.tagging.service import TaggingService
from service.tagging.stored import StoredTagService
from service.tagging.tagger import TrackTagger
from service.tagging.vocabularies import VocabularyService
from service.worker.loop import Desk


@dataclass(frozen=True)
class Ground:
    """What the sets of all models stand on."""

    settings: Settings
    database: Database
    blobs: BlobStore
    limits: DecodeLimits


class ModelServices:
    """One model's set; nothing is loaded before `start`."""

    def __init__(self, ground: Ground, load: Callable[[], MusicTextEncoder]) -> None:
        settings, database = ground.settings, ground.database
        self.thread = ModelThread()
        self.encoder = EncoderHandle(load, self.thread)
        self.texts = TextEmbedder(
            self.encoder,
            self.thread,
            max_waiting=settings.text_queue,
            batch_size=settings.text_batch,
            cache_size=settings.text_cache,
        )
        self.clips = ClipEmbedder(self.encoder, self.thread, batch_size=settings.clip_batch)
        self.unstored = UnstoredClips(
            self.clips, self.encoder, max_clip_s=settings.max_clip_s, limits=ground.limits
        )
        self.index = open_projection(settings, database, self.encoder)
        self.search = SearchService(database, self.index, self.texts, self.encoder)
        self.exchange = ExchangeService(
            database, self.encoder, max_attempts=settings.job_max_attempts
        )
        self._build_tags(ground)
        self.desk = self._build_desk(ground)
        self._searches = False

    def _build_tags(self, ground: Ground) -> None:
        database, attempts = ground.database, ground.settings.job_max_attempts
        self.tagging = TaggingService(database, self.texts, self.encoder)
        self.stored_tags = StoredTagService(database, self.encoder)
        self.distributions = DistributionService(database, self.tagging, self.encoder)
        self.vocabularies = VocabularyService(
            database, self.tagging, self.stored_tags, self.encoder, max_attempts=attempts
        )

    def _build_desk(self, ground: Ground) -> Desk:
        database, settings = ground.database, ground.settings
        tagger = TrackTagger(database, self.encoder, self.thread)
        retag = RetagLibrary(database, tagger, max_attempts=settings.job_max_attempts)
        embed = EmbedTrack(
            database,
            ground.blobs,
            self.encoder,
            self.clips,
            tagger,
            max_track_s=settings.max_track_s,
            limits=ground.limits,
        )
        return Desk(self.encoder, embed, {TAG: retag}, on_published=self.index.wake)

    @property
    def loaded_id(self) -> str | None:
        """The id of the model, None before it is loaded."""
        is_ready = self.encoder.state is EncoderState.READY
        return self.encoder.get().model_id if is_ready else None

    @property
    def is_ready(self) -> bool:
        """Whether a process could answer with it now."""
        return self.loaded_id is not None and (self.index.is_ready or not self._searches)

    def start(self, *, searches: bool) -> None:
        """Begin to load the model, and open its index where this process searches."""
        self.encoder.start()
        self._searches = searches
        if searches:
            self.index.start()

    def close(self) -> None:
        """Save the index, end the model's thread; what still waits for it is answered 503."""
        self.index.stop()
        self.unstored.close()
        self.thread.close()
