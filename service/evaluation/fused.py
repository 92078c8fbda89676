"""Words, sound, and both fused: which finds what people ask for.

Legend: T tracks, Q queries, K labels.

Four kinds of queries are made from the tracks' own titles and artists and a tagger's labels: a
title, the title's first word with the artist's name, an artist with a sound ("tasner piano": those
of the artist's tracks that have the label), and a sound alone, short and as a sentence.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from models.interface import MusicTextEncoder
from service.database.engine import opened_database
from service.database.migrate import migrate
from service.database.tables import Track, TrackState
from service.evaluation.music import LabelledMusic
from service.evaluation.ranks import best, found_in_ten, reciprocal_rank, table
from service.keywords.lookup import KeywordMatch, find_matches, keyword_query
from service.keywords.store import refresh_track_texts
from service.search.fusion import RRF_K, fuse
from service.search.ranked import FUSED_SHARE, WINDOW

HAS_SHARE = 0.2
FEWEST_OF_AN_ARTIST = 4


@dataclass(frozen=True)
class Question:
    """A text of one kind, and the tracks (by place) that it means."""

    kind: str
    text: str
    wanted: frozenset[int]


Ranker = Callable[[int], Sequence[int]]
"""From the number of a question to tracks, best first."""


def fused_table(music: LabelledMusic, encoder: MusicTextEncoder) -> str:
    """Mean reciprocal rank and the share found in the first ten, for each kind of question."""
    questions = list(_questions(music))
    rankers = _rankers(music, encoder, questions)
    kinds = list(dict.fromkeys(question.kind for question in questions))
    rows: list[list[object]] = []
    for name, ranker in rankers.items():
        row: list[object] = [name]
        means = []
        for kind in kinds:
            numbers = [i for i, question in enumerate(questions) if question.kind == kind]
            orders = {i: ranker(i) for i in numbers}
            reciprocal = np.mean([reciprocal_rank(orders[i], questions[i].wanted) for i in numbers])
            found = np.mean([found_in_ten(orders[i], questions[i].wanted) for i in numbers])
            means.append((reciprocal, found))
            row.append(f"{reciprocal:.2f} / {found:.2f}")
        rows.append([*row, "{:.3f} / {:.3f}".format(*np.mean(means, axis=0))])
    counts = [sum(question.kind == kind for question in questions) for kind in kinds]
    header = ["MRR / found in ten", *(f"{k} ({n})" for k, n in zip(kinds, counts, strict=True))]
    return table([*header, "mean of kinds"], rows)


def _questions(music: LabelledMusic) -> Iterator[Question]:
    labels = music.labels()
    has = labels >= np.quantile(labels, 1 - HAS_SHARE, axis=0)
    by_artist: dict[str, list[int]] = {}
    for place, track in enumerate(music.tracks):
        title, artist = track.entry.title, track.entry.artist
        if artist:
            by_artist.setdefault(artist, []).append(place)
        if title:
            yield Question("title", title, frozenset({place}))
            if artist:
                text = f"{title.split()[0]} {artist.split()[-1]}"
                yield Question("word and artist", text, frozenset({place}))
    for artist, places in by_artist.items():
        if len(places) < FEWEST_OF_AN_ARTIST:
            continue
        for k, name in enumerate(music.names):
            wanted = frozenset(place for place in places if has[place, k])
            if 0 < len(wanted) <= 0.6 * len(places):
                yield Question("artist and sound", f"{artist} {name.lower()}", wanted)
    for k, name in enumerate(music.names):
        wanted = frozenset(np.flatnonzero(has[:, k]).tolist())
        yield Question("sound", f"{name.lower()} music", wanted)
        text = f"a piece of {name.lower()} music with a calm beginning, for the end of the night"
        yield Question("sentence", text, wanted)


def _rankers(
    music: LabelledMusic, encoder: MusicTextEncoder, questions: Sequence[Question]
) -> Mapping[str, Ranker]:
    texts = encoder.embed_text([question.text for question in questions])
    scores = texts.astype(np.float64) @ music.means().T
    sound = [best(row, WINDOW).tolist() for row in scores]
    words = _by_words(music, questions)

    def by_both(k: int, share: float) -> Ranker:
        def rank(number: int) -> list[int]:
            kept = [match.track_pk for match in words[number] if match.share >= share]
            return [hit.hit_id for hit in fuse([sound[number], kept], k=k)]

        return rank

    rankers: dict[str, Ranker] = {
        "sound alone": lambda number: sound[number],
        "words alone": lambda number: [match.track_pk for match in words[number]],
        f"both, k {RRF_K}, share {FUSED_SHARE}  (as served)": by_both(RRF_K, FUSED_SHARE),
    }
    for k in (10, 30, 100):
        rankers[f"both, k {k}, share {FUSED_SHARE}"] = by_both(k, FUSED_SHARE)
    for share in (0.0, 0.2, 0.4, 0.5, 0.75, 0.95):
        rankers[f"both, k {RRF_K}, share {share}"] = by_both(RRF_K, share)
    return rankers


def _by_words(music: LabelledMusic, questions: Sequence[Question]) -> list[list[KeywordMatch]]:
    """What the service's own keyword search finds; track numbers are places in the music."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'words.sqlite3'}"
        migrate(url)
        with opened_database(url) as database:
            with database.write() as session:
                pks = range(len(music.tracks))
                session.add_all(_row(place, music) for place in pks)
                session.flush()
                refresh_track_texts(session, list(pks))
            with database.read() as session:
                return [
                    find_matches(session, keyword_query([question.text]), limit=WINDOW)
                    for question in questions
                ]


def _row(place: int, music: LabelledMusic) -> Track:
    entry = music.tracks[place].entry
    return Track(
        pk=place,
        id=f"{place:026d}",
        sha256=entry.sha256,
        size_bytes=1,
        filename=PurePosixPath(entry.path).name,
        media_type="audio/ogg",
        title=entry.title,
        artist=entry.artist,
        album=entry.source.rsplit(" ", 1)[0],
        state=TrackState.READY,
    )
