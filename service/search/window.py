"""Pages of a ranking in which hits depend on each other: fused ranks, limits, copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.tables import Track
from service.search.copies import read_copies
from service.search.cursor import MAX_GIVEN
from service.search.ranked import RankedHits
from service.search.results import Level
from service.search.selection import Selected, SelectionRules, TrackFacts, select_hits
from service.search.semantic import track_of

FIRST_WINDOW = 64
GROWTH = 4
_IN_LIST = 2_000


@dataclass(frozen=True, eq=False)
class WindowPage:
    """The hits of a page, whether more follow, and whether a limit of ours ended the list."""

    hits: list[Selected]
    ranked: RankedHits
    has_more: bool
    is_cut: bool


def window_page(
    database: Database,
    rank: Callable[[int], RankedHits],
    *,
    given: frozenset[int],
    limit: int,
    rules: SelectionRules,
    level: Level,
    model_id: str | None,
) -> WindowPage:
    """The next `limit` hits after those that were given.

    `rank(count)` gives the `count` best hits; it is asked for more until the page is full or
    MAX_GIVEN are looked at, unless it gives the same list again.
    """
    room = max(MAX_GIVEN - len(given), 0)
    count = min(max(FIRST_WINDOW, 2 * (len(given) + limit + 1)), MAX_GIVEN)
    ranked = rank(count)
    hits = _select(database, ranked, given, rules, level, model_id)
    while len(hits) <= limit and not ranked.is_whole and len(ranked.hit_ids) >= count < MAX_GIVEN:
        count = min(count * GROWTH, MAX_GIVEN)
        wider = rank(count)
        if wider is ranked:
            break
        ranked = wider
        hits = _select(database, ranked, given, rules, level, model_id)
    shown = hits[: min(limit, room)]
    has_more = len(hits) > limit and room > limit
    return WindowPage(shown, ranked, has_more, not has_more and not ranked.is_whole)


def _select(
    database: Database,
    ranked: RankedHits,
    given: frozenset[int],
    rules: SelectionRules,
    level: Level,
    model_id: str | None,
) -> list[Selected]:
    if not rules.selects:
        return [Selected(hit_id) for hit_id in ranked.hit_ids if hit_id not in given]
    pks = {track_of(hit_id, level) for hit_id in (*ranked.hit_ids, *given)}
    with database.read() as session:
        facts = _read_facts(session, pks)
        copies = read_copies(session, model_id, pks) if rules.collapse_duplicates else None
        return select_hits(
            ranked.hit_ids,
            given=given,
            rules=rules,
            track_of=lambda hit_id: track_of(hit_id, level),
            facts=facts,
            copies=copies,
        )


def _read_facts(session: Session, pks: set[int]) -> dict[int, TrackFacts]:
    listed = sorted(pks)
    facts: dict[int, TrackFacts] = {}
    for start in range(0, len(listed), _IN_LIST):
        query = select(Track.pk, Track.artist_key, Track.album_key)
        rows = session.execute(query.where(Track.pk.in_(listed[start : start + _IN_LIST])))
        facts.update({pk: TrackFacts(artist, album) for pk, artist, album in rows})
    return facts
