"""A search that was asked, made ready to be ranked: its two sides, and what a cursor is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from models.interface import MusicTextEncoder, Vectors
from service.database.engine import Database
from service.errors import EmptyQuery, InvalidRequest
from service.filtering.conditions import condition
from service.filtering.nodes import Filter, asks_tags
from service.filtering.nodes import identity as filter_identity
from service.filtering.tag_scope import read_tag_scope
from service.keywords.lookup import keyword_query
from service.search.allowed import read_allowed
from service.search.by_words import WordRanking
from service.search.cursor import fingerprint
from service.search.query import Part, Query, build_query, identity_of, texts_of, wanted_texts
from service.search.results import SearchOptions
from service.search.scoring import Scorer
from service.search.semantic import Index, SemanticRanking


@dataclass(frozen=True, eq=False)
class Asked:
    """The rankings that a search needs; `model_id` also where only words are ranked, if known."""

    options: SearchOptions
    semantic: SemanticRanking | None
    words: WordRanking | None
    model_id: str | None
    identity: str
    warnings: list[str] = field(default_factory=list)


def ask_with_model(
    database: Database,
    index: Index,
    encoder: MusicTextEncoder,
    parts: Sequence[Part],
    text_vectors: Mapping[str, Vectors],
    options: SearchOptions,
) -> Asked:
    """A semantic or hybrid search.

    Raises TrackNotFound, TrackNotReady, SpanOutsideTrack, PartsCancelOut.
    """
    model_id = encoder.model_id
    with database.read() as session:
        query = build_query(
            session, parts, text_vectors, model_id=model_id, languages=encoder.languages
        )
        allowed = None
        if options.filter is not None:
            by_clip = options.level == "passage"
            allowed = read_allowed(session, options.filter, model_id, with_clips=by_clip)
        conditions = _conditions(session, options.filter, model_id)
    warnings = list(query.warnings)
    if options.min_relevance is not None and len(encoder.reference) == 0:
        warnings.append("This model has no reference music; min_relevance was not applied.")
    semantic = SemanticRanking(
        database=database,
        index=index,
        scorer=Scorer(query.parts, encoder.reference),
        model_id=model_id,
        level=options.level,
        excluded_pks=query.excluded_pks,
        allowed=allowed,
        min_relevance=options.min_relevance,
    )
    words = None
    if options.mode == "hybrid":
        words = _words(database, parts, conditions, query)
    return Asked(options, semantic, words, model_id, _identity(parts, options, model_id), warnings)


def ask_for_words(
    database: Database, parts: Sequence[Part], options: SearchOptions, model_id: str | None
) -> Asked:
    """A keyword search; `model_id` says whose tags a filter means.

    Raises EmptyQuery without a wanted text, InvalidRequest for passages.
    """
    if options.level != "track":
        raise InvalidRequest("Words find tracks, not passages; use level track or mode hybrid.")
    texts_of(parts)
    if not wanted_texts(parts):
        raise EmptyQuery("Keyword search needs a text that is asked for.")
    warnings = []
    if len(wanted_texts(parts)) < len(parts):
        warnings.append("Keyword search reads the texts asked for; other parts had no effect.")
    if options.min_relevance is not None:
        warnings.append("Words have no relevance; min_relevance was not applied.")
    with database.read() as session:
        conditions = _conditions(session, options.filter, model_id)
    words = _words(database, parts, conditions, None)
    return Asked(options, None, words, model_id, _identity(parts, options, None), warnings)


def asks_for_tags(options: SearchOptions) -> bool:
    """Whether the filter cannot be applied without knowing the model."""
    return options.filter is not None and asks_tags(options.filter)


def _words(
    database: Database,
    parts: Sequence[Part],
    conditions: Sequence[ColumnElement[bool]],
    query: Query | None,
) -> WordRanking:
    excluded = frozenset[int]() if query is None else query.excluded_pks
    return WordRanking(database, keyword_query(wanted_texts(parts)), conditions, excluded)


def _conditions(
    session: Session, node: Filter | None, model_id: str | None
) -> list[ColumnElement[bool]]:
    if node is None:
        return []
    scope = None
    if asks_tags(node) and model_id is not None:
        scope = read_tag_scope(session, model_id)
    return [condition(node, scope)]


def _identity(parts: Sequence[Part], options: SearchOptions, model_id: str | None) -> str:
    """Without `limit` and `passages`: a client may change the size of its pages as it goes."""
    rules = options.rules
    return fingerprint(
        [
            identity_of(parts),
            options.mode,
            options.level,
            options.min_relevance,
            filter_identity(options.filter),
            [rules.max_per_artist, rules.max_per_album, rules.collapse_duplicates],
            model_id,
        ]
    )
