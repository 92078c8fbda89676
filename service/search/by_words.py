"""The ranking of tracks by the words of the query's texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement

from service.database.engine import Database
from service.database.tables import Track
from service.keywords.document import Field
from service.keywords.lookup import KeywordMatch, KeywordQuery, find_matches, matched_fields
from service.keywords.store import read_documents


@dataclass(frozen=True, eq=False)
class WordRanking:
    """Tracks that have any of the words and meet the conditions, best first."""

    database: Database
    query: KeywordQuery
    conditions: Sequence[ColumnElement[bool]]
    excluded_pks: frozenset[int]

    def best(self, count: int) -> list[KeywordMatch]:
        conditions = list(self.conditions)
        if self.excluded_pks:
            conditions.append(Track.pk.not_in(self.excluded_pks))
        with self.database.read() as session:
            return find_matches(session, self.query, limit=count, conditions=conditions)

    def fields_of(self, track_pks: Sequence[int]) -> dict[int, list[Field]]:
        """The fields of each track that hold any of the words."""
        with self.database.read() as session:
            documents = read_documents(session, track_pks)
        return {pk: matched_fields(document, self.query) for pk, document in documents.items()}
