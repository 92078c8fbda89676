"""Search: parts -> one query vector -> candidates -> exact scores from SQL -> passages -> answer.

What is shown always comes from SQL (ready tracks, the active model), so that a deleted track is
never shown even by an index that has not caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from sqlalchemy.orm import Session

from models.interface import MusicTextEncoder, Vectors
from service.database.engine import Database
from service.database.tables import CLIP_BITS
from service.filtering.nodes import identity as filter_identity
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle
from service.search.allowed import AllowedTracks, Ids, read_allowed
from service.search.cursor import Position, decode_cursor, encode_cursor, fingerprint
from service.search.mixing import unit
from service.search.query import Part, Query, TextPart, build_query, texts_of
from service.search.ranking import Candidates, Page, rank_page
from service.search.results import (
    FoundPassage,
    FoundTrack,
    SearchOptions,
    SearchResult,
    TrackPassages,
    Yardstick,
)
from service.search.vectors import (
    get_clip_vectors,
    get_known_track,
    score_clips,
    score_clips_of,
    score_tracks,
)
from service.tracks.repository import live_clips, live_tracks


class Index(Protocol):
    """What search needs of an index."""

    @property
    def applied_seq(self) -> int: ...
    def search_tracks(self, query: Vectors, k: int, among: Ids | None) -> Candidates: ...
    def search_clips(self, query: Vectors, k: int, among: Ids | None) -> Candidates: ...


class SearchService:
    """Searches under the model that is loaded; every method raises Unavailable until it is.

    Texts are embedded on the event loop's time (batched with those of other callers), the rest
    runs in a thread.
    """

    def __init__(
        self, database: Database, index: Index, texts: TextEmbedder, encoder: EncoderHandle
    ) -> None:
        self._database = database
        self._index = index
        self._texts = texts
        self._encoder = encoder

    async def search(self, parts: Sequence[Part], options: SearchOptions) -> SearchResult:
        """One page of hits.

        Raises EmptyQuery, InvalidCursor, TrackNotFound, TrackNotReady, SpanOutsideTrack,
        PartsCancelOut, Overloaded, and what the model raises for a text.
        """
        started = time.perf_counter()
        encoder = self._encoder.get()
        texts = texts_of(parts)
        vectors: Sequence[Vectors] = list(await self._texts.embed(texts)) if texts else []
        text_vectors = dict(zip(texts, vectors, strict=True))
        result = await asyncio.to_thread(self._answer, encoder, parts, text_vectors, options)
        return replace(result, took_ms=round((time.perf_counter() - started) * 1000, 2))

    async def passages_of(self, track_id: str, text: str | None = None) -> TrackPassages:
        """All passages of a track in order of time, scored where a text is given.

        Raises TrackNotFound, TrackNotReady, EmptyQuery, and what the model raises for a text.
        """
        encoder = self._encoder.get()
        query = None
        if text is not None:
            texts = texts_of([TextPart(text)])
            query = unit((await self._texts.embed(texts))[0])
        return await asyncio.to_thread(self._passages_of, encoder, track_id, query)

    def _passages_of(
        self, encoder: MusicTextEncoder, track_id: str, query: Vectors | None
    ) -> TrackPassages:
        with self._database.read() as session:
            track = get_known_track(session, track_id)
            clips = get_clip_vectors(session, track, encoder.model_id)
        spans = zip(clips.starts_s, clips.ends_s, strict=True)
        if query is None:
            found = [FoundPassage(start, end, None, None) for start, end in spans]
            return TrackPassages(found, encoder.model_id)
        yardstick = Yardstick(query, encoder.reference)
        scores = clips.vectors.astype(np.float64) @ query.astype(np.float64)
        found = [
            FoundPassage(start, end, float(score), yardstick.relevance(float(score)))
            for (start, end), score in zip(spans, scores, strict=True)
        ]
        return TrackPassages(found, encoder.model_id)

    def _answer(
        self,
        encoder: MusicTextEncoder,
        parts: Sequence[Part],
        text_vectors: Mapping[str, Vectors],
        options: SearchOptions,
    ) -> SearchResult:
        model_id = encoder.model_id
        with self._database.read() as session:
            query = build_query(
                session, parts, text_vectors, model_id=model_id, languages=encoder.languages
            )
        warnings = list(query.warnings)
        if options.min_relevance is not None and len(encoder.reference) == 0:
            warnings.append("This model has no reference music; min_relevance was not applied.")
        # Without `limit` and `passages`: a client may change the size of its pages as it goes.
        asked = filter_identity(options.filter)
        identity = fingerprint(
            [query.identity, options.level, options.min_relevance, asked, model_id]
        )
        after = None if options.cursor is None else decode_cursor(options.cursor, identity)
        allowed = None
        if options.filter is not None:
            with self._database.read() as session:
                allowed = read_allowed(session, options.filter, model_id)
        search = _Search(
            self._database,
            self._index,
            query,
            options,
            Yardstick(query.vector, encoder.reference),
            allowed,
        )
        page = search.rank(model_id, after)
        more = page.next_position
        return SearchResult(
            items=search.hydrate(model_id, page),
            next_cursor=None if more is None else encode_cursor(identity, more),
            level=options.level,
            model_id=model_id,
            index_seq=self._index.applied_seq,
            approximate=page.approximate,
            took_ms=0.0,
            warnings=warnings,
        )


@dataclass(frozen=True, eq=False)
class _Search:
    """One search under way."""

    database: Database
    index: Index
    query: Query
    options: SearchOptions
    yardstick: Yardstick
    allowed: AllowedTracks | None

    @property
    def by_track(self) -> bool:
        return self.options.level == "track"

    def rank(self, model_id: str, after: Position | None) -> Page:
        propose = self.index.search_tracks if self.by_track else self.index.search_clips
        exact = score_tracks if self.by_track else score_clips
        among = None
        if self.allowed is not None:
            among = self.allowed.pks if self.by_track else self.allowed.clip_ids()

        def score(ids: Sequence[int]) -> Mapping[int, float]:
            wanted = [i for i in ids if self._track_pk(i) not in self.query.excluded_pks]
            with self.database.read() as session:
                return exact(session, self.query.vector, model_id, wanted)

        return rank_page(
            lambda k: propose(self.query.vector, k, among),
            score,
            limit=self.options.limit,
            after=after,
            admits=lambda score_: self.yardstick.admits(score_, self.options.min_relevance),
        )

    def hydrate(self, model_id: str, page: Page) -> list[FoundTrack]:
        """Rows and passages of a page; what was deleted since it was ranked is left out."""
        with self.database.read() as session:
            tracks = live_tracks(session, {self._track_pk(hit.vector_id) for hit in page.hits})
            if self.by_track:
                passages = self._best_passages(session, model_id, tracks)
            else:
                passages = self._own_passages(session, model_id, page)
        items: list[FoundTrack] = []
        for rank, hit in enumerate(page.hits, page.first_rank):
            track = tracks.get(self._track_pk(hit.vector_id))
            shown = passages.get(hit.vector_id)
            if track is None or shown is None:
                continue
            relevance = self.yardstick.relevance(hit.score)
            items.append(FoundTrack(rank, hit.score, relevance, track, shown))
        return items

    def _best_passages(
        self, session: Session, model_id: str, pks: Collection[int]
    ) -> dict[int, list[FoundPassage]]:
        """The best passages of each track, by track number."""
        if self.options.passages == 0:
            return {pk: [] for pk in pks}
        best: dict[int, list[FoundPassage]] = {}
        for pk, clips in score_clips_of(session, self.query.vector, model_id, pks).items():
            clips.sort(key=lambda clip: (-clip.score, clip.position))
            best[pk] = [
                FoundPassage(
                    clip.start_s, clip.end_s, clip.score, self.yardstick.relevance(clip.score)
                )
                for clip in clips[: self.options.passages]
            ]
        return best

    def _own_passages(
        self, session: Session, model_id: str, page: Page
    ) -> dict[int, list[FoundPassage]]:
        """The passage that each hit is, by clip number."""
        spans = live_clips(session, model_id, [hit.vector_id for hit in page.hits])
        return {
            hit.vector_id: [
                FoundPassage(
                    spans[hit.vector_id].start_s,
                    spans[hit.vector_id].end_s,
                    hit.score,
                    self.yardstick.relevance(hit.score),
                )
            ]
            for hit in page.hits
            if hit.vector_id in spans
        }

    def _track_pk(self, vector_id: int) -> int:
        return vector_id if self.by_track else vector_id >> CLIP_BITS
