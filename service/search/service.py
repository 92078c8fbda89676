"""Search: parts -> vectors and words -> ranked hits -> one page -> rows from SQL -> answer.

What is shown always comes from SQL (ready tracks, the active model), so that a deleted track is
never shown even by an index that has not caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.interface import MusicTextEncoder, Vectors
from service.database.engine import Database
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle, EncoderState
from service.search.asked import Asked, ask_for_words, ask_with_model, asks_for_tags
from service.search.hydrate import Hydrator
from service.search.mixing import WeightedVector, unit
from service.search.pages import exact_page, judge, selected_page
from service.search.query import Part, TextPart, texts_of
from service.search.results import FoundPassage, SearchOptions, SearchResult, TrackPassages
from service.search.scoring import Scorer
from service.search.semantic import Index
from service.search.vectors import get_clip_vectors, get_known_track


class SearchService:
    """Searches under the model that is loaded; raises Unavailable until it is.

    Keyword search needs no model, unless a filter asks for tags.

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
        PartsCancelOut, InvalidRequest, Overloaded, and what the model raises for a text.
        """
        started = time.perf_counter()
        if options.mode == "keyword":
            result = await asyncio.to_thread(self._answer_by_words, parts, options)
        else:
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
        scorer = Scorer([WeightedVector(query, 1.0)], encoder.reference)
        found = [
            FoundPassage(start, end, score, scorer.relevance(score))
            for (start, end), score in zip(spans, scorer.score(clips.vectors).tolist(), strict=True)
        ]
        return TrackPassages(found, encoder.model_id)

    def _answer(
        self,
        encoder: MusicTextEncoder,
        parts: Sequence[Part],
        text_vectors: Mapping[str, Vectors],
        options: SearchOptions,
    ) -> SearchResult:
        asked = ask_with_model(self._database, self._index, encoder, parts, text_vectors, options)
        return self._page_of(asked)

    def _answer_by_words(self, parts: Sequence[Part], options: SearchOptions) -> SearchResult:
        model_id = None
        if self._encoder.state is EncoderState.READY or asks_for_tags(options):
            model_id = self._encoder.get().model_id
        return self._page_of(ask_for_words(self._database, parts, options, model_id))

    def _page_of(self, asked: Asked) -> SearchResult:
        if asked.semantic is not None and asked.words is None and not asked.options.rules.selects:
            page = exact_page(asked, asked.semantic)
        else:
            page = selected_page(self._database, asked)
        options = asked.options
        hydrator = Hydrator(
            self._database, options.level, options.passages, asked.semantic, asked.words
        )
        return SearchResult(
            items=hydrator.read(page.hits, page.ranked, page.first_rank),
            next_cursor=page.next_cursor,
            match=judge(asked, page.ranked),
            mode=options.mode,
            level=options.level,
            model_id=None if asked.semantic is None else asked.semantic.model_id,
            index_seq=self._index.applied_seq,
            approximate=page.ranked.approximate,
            took_ms=0.0,
            warnings=[*asked.warnings, *page.warnings],
        )
