"""Which copies the served rule finds, and which other recordings it takes for copies.

Legend: E embedding width, N clips of a track, P pairs of recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.interface import Vectors
from service.evaluation.music import Bools, Floats, Recording
from service.evaluation.ranks import table
from service.evaluation.rewritten import WAYS, Rewritten, Way
from service.search.copies import (
    COPY_COSINE,
    COPY_COURSE,
    COURSE_MIN_CLIPS,
    NEAR_COSINE,
    course_likeness,
    is_like_length,
)

Bars = tuple[float, float, float]
"""Cosine that is enough, cosine that is near, and the course that is enough there."""

ALONE = 2.0
"""No course reaches it: cosine decides alone."""
SERVED: Bars = (COPY_COSINE, NEAR_COSINE, COPY_COURSE)
RULES: tuple[Bars, ...] = (
    (0.99, ALONE, ALONE),
    (0.985, ALONE, ALONE),
    (0.95, ALONE, ALONE),
    (0.9, ALONE, ALONE),
    (ALONE, 0.7, 0.5),
    (ALONE, 0.7, 0.72),
    (0.99, 0.85, 0.5),
    (0.99, 0.85, 0.6),
    SERVED,
    (0.985, 0.85, 0.72),
    (0.99, 0.7, 0.72),
    (0.99, 0.9, 0.72),
    (0.99, 0.85, 0.8),
)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs [P] of files: cosine of means, likeness of courses, common clips, like lengths."""

    cosines: Floats
    courses: Floats
    clips: NDArray[np.int64]
    like: Bools

    def count(self, bars: Bars) -> int:
        """How many are taken for copies."""
        enough, near, course = bars
        by_course = (
            (self.cosines >= near) & (self.courses >= course) & (self.clips >= COURSE_MIN_CLIPS)
        )
        return int((self.like & ((self.cosines >= enough) | by_course)).sum())


def copy_table(copies: Sequence[Rewritten]) -> str:
    """By way of writing: how near copies are to their originals, and how many are found."""
    rows: list[list[object]] = []
    for way in WAYS:
        pairs = _copies_by(copies, way)
        rows.append(
            [
                way.name,
                f"{np.median(pairs.cosines):.3f} ({pairs.cosines.min():.3f})",
                f"{np.median(pairs.courses):.3f} ({pairs.courses.min():.3f})",
                f"{pairs.count((COPY_COSINE, ALONE, ALONE))} of {len(copies)}",
                f"{pairs.count(SERVED)} of {len(copies)}",
            ]
        )
    header = [
        "written again as", "cosine, median (lowest)", "course, median (lowest)",
        "found by cosine alone", "found",
    ]  # fmt: skip
    return table(header, rows)


def rule_table(copies: Sequence[Rewritten], recordings: Sequence[Recording]) -> str:
    """What other bars would find, and take wrongly."""
    ways = [_copies_by(copies, way) for way in WAYS]
    relatives, strangers = other_pairs(recordings)
    total = len(copies) * len(WAYS)
    rows: list[list[object]] = [
        [
            _name(bars),
            f"{sum(pairs.count(bars) for pairs in ways)} of {total}",
            f"{relatives.count(bars)} of {len(relatives.cosines)}",
            f"{strangers.count(bars)} of {len(strangers.cosines)}",
        ]
        for bars in RULES
    ]
    header = [
        "copies are", "copies found", "others of one artist or package taken", "strangers taken",
    ]  # fmt: skip
    return table(header, rows)


def alike_table(recordings: Sequence[Recording], count: int = 8) -> str:
    """The pairs of different recordings that come nearest to being taken for copies."""
    near = [
        (one, other, *_measure(one.clips, other.clips))
        for one, other in _like_length_pairs(recordings)
    ]
    near.sort(key=lambda pair: -pair[3] if pair[2] >= NEAR_COSINE else 1.0)
    rows = [
        [one.entry.id, other.entry.id, f"{cosine:.3f}", f"{course:.3f}", clips]
        for one, other, cosine, course, clips in near[:count]
    ]
    return table(["recording", "and", "cosine", "course", "clips"], rows)


def other_pairs(recordings: Sequence[Recording]) -> tuple[Pairs, Pairs]:
    """Different recordings of like length: of one artist or package, and strangers."""
    relatives: list[tuple[float, float, int]] = []
    strangers: list[tuple[float, float, int]] = []
    for one, other in _like_length_pairs(recordings):
        is_related = one.entry.source == other.entry.source or (
            one.entry.artist is not None and one.entry.artist == other.entry.artist
        )
        (relatives if is_related else strangers).append(_measure(one.clips, other.clips))
    return _pairs(relatives), _pairs(strangers)


def _like_length_pairs(
    recordings: Sequence[Recording],
) -> list[tuple[Recording, Recording]]:
    return [
        (one, other)
        for place, one in enumerate(recordings)
        for other in recordings[place + 1 :]
        if is_like_length(one.entry.duration_s, other.entry.duration_s)
    ]


def _copies_by(copies: Sequence[Rewritten], way: Way) -> Pairs:
    lengths = [each.recording.entry.duration_s for each in copies]
    measured = [_measure(each.recording.clips, each.clips[way.name]) for each in copies]
    return _pairs(measured, [is_like_length(length, way.duration_s(length)) for length in lengths])


def _measure(one: Vectors, other: Vectors) -> tuple[float, float, int]:
    means = one.mean(axis=0), other.mean(axis=0)
    cosine = float(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]))
    return cosine, course_likeness(one, other), min(len(one), len(other))


def _pairs(measured: Sequence[tuple[float, float, int]], like: Sequence[bool] = ()) -> Pairs:
    columns = np.array(measured, dtype=np.float64).reshape(-1, 3)
    are_like = np.array(like or [True] * len(columns), dtype=bool)
    return Pairs(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int64), are_like)


def _name(bars: Bars) -> str:
    enough, near, course = bars
    parts = [f"cosine {enough:g}"] if enough < ALONE else []
    parts += [f"cosine {near:g} and course {course:g}"] if near < ALONE else []
    return ", or ".join(parts) + ("  (as served)" if bars == SERVED else "")
