"""Which hits of a ranking are shown: at most so many of an artist or album, copies only once.

The rule is greedy from the best hit on. A later page begins with the hits that the caller was
given before: they take their places first, and then the ranking is walked again. So a page never
repeats a hit, and skips none that the rule would show, even when the ranking has changed since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class SelectionRules:
    """None for no limit. Tracks without an artist (album) are not counted as one artist's."""

    max_per_artist: int | None = None
    max_per_album: int | None = None
    collapse_duplicates: bool = False

    @property
    def selects(self) -> bool:
        """Whether anything can be left out."""
        return self != SelectionRules()


@dataclass(frozen=True)
class TrackFacts:
    """What the rules look at; names are folded, so that spellings of one artist count together."""

    artist: str | None
    album: str | None


class CopyFinder(Protocol):
    """Knows which tracks are the same music as one that is shown already."""

    def add(self, track_pk: int) -> None:
        """This track is shown."""
        ...

    def find_shown(self, track_pk: int) -> int | None:
        """A shown track that this one is a copy of."""
        ...


@dataclass(frozen=True)
class Selected:
    """A hit to show, and the tracks that were left out as copies of its track."""

    hit_id: int
    duplicate_pks: Sequence[int] = ()


@dataclass
class _Walk:
    rules: SelectionRules
    facts: Mapping[int, TrackFacts]
    copies: CopyFinder | None
    artists: Counter[str] = field(default_factory=Counter)
    albums: Counter[str] = field(default_factory=Counter)
    duplicates: dict[int, list[int]] = field(default_factory=dict)
    """Copies by the track that is shown in their place."""

    def take(self, track_pk: int) -> None:
        facts = self.facts.get(track_pk)
        if facts is not None:
            self.artists.update([facts.artist] if facts.artist else [])
            self.albums.update([facts.album] if facts.album else [])
        if track_pk not in self.duplicates:
            self.duplicates[track_pk] = []
            if self.copies is not None:
                self.copies.add(track_pk)

    def admits(self, track_pk: int) -> bool:
        if self.copies is not None and track_pk not in self.duplicates:
            shown = self.copies.find_shown(track_pk)
            if shown is not None:
                if track_pk not in self.duplicates[shown]:
                    self.duplicates[shown].append(track_pk)
                return False
        facts = self.facts.get(track_pk)
        if facts is None:
            return True
        return not (
            _is_full(self.artists, facts.artist, self.rules.max_per_artist)
            or _is_full(self.albums, facts.album, self.rules.max_per_album)
        )


def select_hits(
    ranking: Iterable[int],
    *,
    given: Collection[int],
    rules: SelectionRules,
    track_of: Callable[[int], int],
    facts: Mapping[int, TrackFacts],
    copies: CopyFinder | None = None,
) -> list[Selected]:
    """The hits to show after those that were given, in the ranking's order.

    `facts` holds the tracks of the ranking and of the given hits, without those that are gone.
    """
    walk = _Walk(rules, facts, copies)
    for hit_id in sorted(given):
        walk.take(track_of(hit_id))
    shown: list[int] = []
    for hit_id in ranking:
        track_pk = track_of(hit_id)
        if hit_id not in given and walk.admits(track_pk):
            walk.take(track_pk)
            shown.append(hit_id)
    return [Selected(hit_id, tuple(walk.duplicates[track_of(hit_id)])) for hit_id in shown]


def _is_full(counts: Counter[str], name: str | None, limit: int | None) -> bool:
    return limit is not None and name is not None and counts[name] >= limit
