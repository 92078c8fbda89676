"""Finds tracks by words: every track that has any of them, the best first.

    points = sum over the query's words of  rarity(word) * points of the best field that has it
           + for a whole title, artist or album that is what was asked (or begins so), a bonus

The points depend on the track and on how common the words are, not on the database's own ranking,
so that SQLite and PostgreSQL give one order. They are whole numbers: sums are equal everywhere.
Rarity is the inverse document frequency of BM25 (Robertson and Zaragoza, 2009), ln(1 + N / n); how
often a word stands in one field says nothing about music, and is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, func, select, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Subquery

from service.database.tables import Track, TrackState
from service.keywords.document import FIELD_POINTS, WHOLE_FIELDS, Document, Field, whole
from service.keywords.store import LETTERS
from service.keywords.words import words_of

MAX_QUERY_WORDS = 12
PREFIX_SHARE = 0.7
"""What a word that only begins like the query's counts, against the word itself."""
WHOLE_SHARE = 0.5
"""The bonus for a whole field that equals the query, against all its words in that field."""
WHOLE_PREFIX_SHARE = 0.25

_SCALE = 1_000  # points are whole numbers of this resolution
_SHORTEST_PREFIX = 2  # of the Latin alphabet; a letter of other scripts may be a word

_LEAVES = {
    "sqlite": (
        "SELECT rowid AS track_pk, {slot} AS slot, {points} AS points, {weight} AS weight "
        "FROM track_search WHERE track_search MATCH :term{number}"
    ),
    "postgresql": (
        "SELECT track_pk, {slot} AS slot, {points} AS points, {weight} AS weight "
        "FROM track_search WHERE document @@ CAST(:term{number} AS tsquery)"
    ),
}


@dataclass(frozen=True)
class KeywordQuery:
    """What was asked: words in order, and which of them may go on; `run` is the text run together.

    A query without words finds nothing.
    """

    words: tuple[str, ...]
    prefixes: frozenset[str]
    run: tuple[str, ...]


@dataclass(frozen=True)
class KeywordMatch:
    """A track with its points, and how much of the query's rarity its words make up, 0 to 1."""

    track_pk: int
    points: int
    share: float


@dataclass(frozen=True)
class _Term:
    """One look-up: a word, or the start of one, in some columns.

    Of the terms of one `slot` (a word of the query) only the best that a track has counts.
    """

    columns: tuple[str, ...]
    word: str
    is_prefix: bool
    slot: int
    points: float = 0.0
    weight: int = 0

    def wanted(self, dialect: str) -> str:
        """In the database's own query language; a word holds nothing that needs escaping."""
        if dialect == "sqlite":
            columns = " ".join(self.columns)
            return f'{{{columns}}} : "{self.word}"' + (" *" if self.is_prefix else "")
        ending = ":*" if self.is_prefix else ""
        return " | ".join(f"'{LETTERS[name]}{self.word}'{ending}" for name in self.columns)


def keyword_query(texts: Iterable[str]) -> KeywordQuery:
    """The words of the texts, without repeats; a text's last word may go on where it ends in it."""
    words: dict[str, None] = {}
    prefixes: set[str] = set()
    run: tuple[str, ...] = ()
    for part in texts:
        found = words_of(part)
        run = run or tuple(found)
        words.update(dict.fromkeys(found))
        if found and part[-1:].isalnum() and _may_go_on(found[-1]):
            prefixes.add(found[-1])
    kept = tuple(words)[:MAX_QUERY_WORDS]
    return KeywordQuery(kept, frozenset(prefixes) & frozenset(kept), run)


def find_matches(
    session: Session,
    query: KeywordQuery,
    *,
    limit: int,
    conditions: Sequence[ColumnElement[bool]] = (),
) -> list[KeywordMatch]:
    """Ready tracks that meet the conditions (on Track) and have any of the words, best first."""
    if not query.words:
        return []
    rarities = _rarities(session, query)
    hits = _looked_up(session, list(_terms(query, rarities)))
    best = (
        select(
            hits.c.track_pk,
            func.max(hits.c.points).label("points"),
            func.max(hits.c.weight).label("weight"),
        )
        .group_by(hits.c.track_pk, hits.c.slot)
        .subquery()
    )
    points = func.sum(best.c.points, type_=BigInteger)
    rows = session.execute(
        select(best.c.track_pk, points.label("points"), func.sum(best.c.weight).label("weight"))
        .join(Track, Track.pk == best.c.track_pk)
        .where(Track.state == TrackState.READY, *conditions)
        .group_by(best.c.track_pk)
        .order_by(points.desc(), best.c.track_pk)
        .limit(limit)
    )
    return [
        KeywordMatch(row.track_pk, int(row.points), min(int(row.weight) / sum(rarities), 1.0))
        for row in rows
    ]


def matched_fields(document: Document, query: KeywordQuery) -> list[Field]:
    """The fields of a track that hold any of the query's words, the weightiest first."""
    return [
        name
        for name in FIELD_POINTS
        if any(_matches(word, query) for word in document.fields[name])
        or (name in WHOLE_FIELDS and _begins_whole(document, name, query))
    ]


def _matches(word: str, query: KeywordQuery) -> bool:
    return word in query.words or any(word.startswith(prefix) for prefix in query.prefixes)


def _begins_whole(document: Document, name: Field, query: KeywordQuery) -> bool:
    if not query.run or not document.fields[name]:
        return False
    wanted, found = whole(name, query.run), whole(name, document.fields[name])
    return found.startswith(wanted) if _run_may_go_on(query) else found == wanted


def _may_go_on(word: str) -> bool:
    return len(word) >= _SHORTEST_PREFIX or not word.isascii()


def _run_may_go_on(query: KeywordQuery) -> bool:
    return query.run[-1] in query.prefixes


def _rarities(session: Session, query: KeywordQuery) -> list[int]:
    """How rare each word is in this library, in thousandths; of one word it does not matter."""
    if len(query.words) == 1:
        return [_SCALE]
    terms = [
        _Term(tuple(FIELD_POINTS), word, word in query.prefixes, slot)
        for slot, word in enumerate(query.words)
    ]
    hits = _looked_up(session, terms)
    counts = select(hits.c.slot, func.count(hits.c.track_pk).label("tracks")).group_by(hits.c.slot)
    found = {row.slot: row.tracks for row in session.execute(counts)}
    # The highest number is at least the number of tracks, and needs no counting.
    tracks = session.scalar(select(func.max(Track.pk))) or 0
    shares = [(tracks + 1) / (found.get(slot, 0) + 0.5) for slot in range(len(terms))]
    return [round(_SCALE * math.log1p(share)) for share in shares]


def _terms(query: KeywordQuery, rarities: Sequence[int]) -> Iterator[_Term]:
    for slot, (word, rare) in enumerate(zip(query.words, rarities, strict=True)):
        for name, field_points in FIELD_POINTS.items():
            points = rare * field_points
            yield _Term((name,), word, False, slot, points, rare)
            if word in query.prefixes:
                yield _Term((name,), word, True, slot, points * PREFIX_SHARE, rare)
    all_of_it = sum(rarities)
    for name in WHOLE_FIELDS:
        slot, points = len(query.words), all_of_it * FIELD_POINTS[name]
        wanted = whole(name, query.run)
        yield _Term(("whole",), wanted, False, slot, points * WHOLE_SHARE, all_of_it)
        if _run_may_go_on(query):
            yield _Term(("whole",), wanted, True, slot, points * WHOLE_PREFIX_SHARE, all_of_it)


def _looked_up(session: Session, terms: Sequence[_Term]) -> Subquery:
    """Every (track_pk, slot, points, weight) that the terms find."""
    dialect = session.get_bind().dialect.name
    leaves = [
        _LEAVES[dialect].format(
            slot=term.slot,
            points=round(term.points),
            weight=term.weight,
            number=number,
        )
        for number, term in enumerate(terms)
    ]
    values = {f"term{number}": term.wanted(dialect) for number, term in enumerate(terms)}
    whole_query = text(" UNION ALL ".join(leaves)).bindparams(**values)
    names = ("track_pk", "slot", "points", "weight")
    return whole_query.columns(**dict.fromkeys(names, BigInteger)).subquery()
