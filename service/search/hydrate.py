"""From the numbers of hits to what is shown: rows, scores, passages and reasons, all from SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models.interface import Vectors
from service.database.engine import Database
from service.database.tables import Track
from service.search.by_words import WordRanking
from service.search.ranked import RankedHits
from service.search.results import (
    FoundPassage,
    FoundTrack,
    KeywordEvidence,
    Level,
    Why,
)
from service.search.selection import Selected
from service.search.semantic import SemanticRanking, track_of
from service.search.vectors import clip_vectors, score_all, score_clips_of, track_vectors
from service.tracks.repository import live_clips, live_tracks


@dataclass(frozen=True, eq=False)
class Hydrator:
    """Reads the hits of a page; what was deleted since it was ranked is left out."""

    database: Database
    level: Level
    passages: int
    model: SemanticRanking | None
    words: WordRanking | None

    def read(
        self, hits: Sequence[Selected], ranked: RankedHits, first_rank: int
    ) -> list[FoundTrack]:
        ids = [hit.hit_id for hit in hits]
        pks = {self._track_of(hit_id) for hit_id in ids}
        copies = {pk for hit in hits for pk in hit.duplicate_pks}
        with self.database.read() as session:
            tracks = live_tracks(session, pks | copies)
            vectors = self._vectors(session, ids)
            passages = self._passages(session, ids, vectors)
        keyword = self._keyword(ids, ranked)
        scores = {} if self.model is None else score_all(self.model.scorer.score, vectors)
        found = []
        for rank, hit in enumerate(hits, first_rank):
            track = tracks.get(self._track_of(hit.hit_id))
            shown = passages.get(hit.hit_id)
            if track is None or shown is None:
                continue
            score = scores.get(hit.hit_id)
            found.append(
                FoundTrack(
                    rank=rank,
                    score=score,
                    relevance=self._relevance(score),
                    track=track,
                    passages=shown,
                    why=self._why(hit.hit_id, vectors, ranked, keyword),
                    duplicates=_ids_of(tracks, hit.duplicate_pks),
                )
            )
        return found

    def _vectors(self, session: Session, ids: Sequence[int]) -> dict[int, Vectors]:
        if self.model is None:
            return {}
        read = track_vectors if self.level == "track" else clip_vectors
        return read(session, self.model.model_id, ids)

    def _passages(
        self, session: Session, ids: Sequence[int], vectors: dict[int, Vectors]
    ) -> dict[int, list[FoundPassage]]:
        """What to show of each hit, by its number; a hit that has gone is not among them."""
        if self.model is None or (self.level == "track" and self.passages == 0):
            return {hit_id: [] for hit_id in ids}
        if self.level == "track":
            return self._best_passages(session, self.model, ids)
        spans = live_clips(session, self.model.model_id, ids)
        scores = score_all(self.model.scorer.score, vectors)
        return {
            hit_id: [self._passage(spans[hit_id].start_s, spans[hit_id].end_s, scores[hit_id])]
            for hit_id in ids
            if hit_id in spans and hit_id in scores
        }

    def _best_passages(
        self, session: Session, model: SemanticRanking, pks: Collection[int]
    ) -> dict[int, list[FoundPassage]]:
        best: dict[int, list[FoundPassage]] = {}
        scored = score_clips_of(session, model.scorer.score, model.model_id, pks)
        for pk, clips in scored.items():
            clips.sort(key=lambda clip: (-clip.score, clip.position))
            best[pk] = [
                self._passage(clip.start_s, clip.end_s, clip.score)
                for clip in clips[: self.passages]
            ]
        return best

    def _passage(self, start_s: float, end_s: float, score: float) -> FoundPassage:
        return FoundPassage(start_s, end_s, score, self._relevance(score))

    def _keyword(self, ids: Sequence[int], ranked: RankedHits) -> dict[int, KeywordEvidence]:
        """By track number, for the hits that words found."""
        pks = [pk for pk in map(self._track_of, ids) if pk in ranked.word_ranks]
        if self.words is None or not pks:
            return {}
        fields = self.words.fields_of(pks)
        return {pk: KeywordEvidence(ranked.word_ranks[pk], named) for pk, named in fields.items()}

    def _why(
        self,
        hit_id: int,
        vectors: dict[int, Vectors],
        ranked: RankedHits,
        keyword: dict[int, KeywordEvidence],
    ) -> Why:
        parts = []
        if self.model is not None and hit_id in vectors:
            parts = self.model.scorer.explain(vectors[hit_id])
        return Why(
            parts=parts,
            semantic_rank=ranked.semantic_ranks.get(hit_id),
            keyword=keyword.get(self._track_of(hit_id)),
            fused_score=ranked.fused_scores.get(hit_id),
        )

    def _relevance(self, score: float | None) -> float | None:
        if self.model is None or score is None:
            return None
        return self.model.scorer.relevance(score)

    def _track_of(self, hit_id: int) -> int:
        return track_of(hit_id, self.level)


def _ids_of(tracks: dict[int, Track], pks: Sequence[int]) -> list[str]:
    return [tracks[pk].id for pk in pks if pk in tracks]
