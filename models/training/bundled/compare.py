"""Is it the bundle that is shipped? The same data, and every figure in its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.training.bundled.record import sets_behind

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Outside:
    """A figure that lies outside of the shipped bundle's interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reproduction:
    """What came of a comparison; `compared` figures were judged on the same tracks by both."""

    same_data: bool
    same_recordings: bool
    same_facts: bool
    same_model: bool
    compared: int
    outside: tuple[Outside, ...]
    not_comparable: int

    def lines(self) -> Iterator[str]:
        """Say it in words."""
        if self.same_model:
            yield "it is the shipped bundle: the same model_id"
        yield f"data identity: {'the same as' if self.same_data else 'NOT that of'} the shipped one"
        if not self.same_data:
            yield f"  recordings: {'the same files' if self.same_recordings else 'other files'}"
            facts = "the same" if self.same_facts else "others"
            yield f"  ids, splits, captions and tags of all tracks: {facts}"
        yield (
            f"figures in the shipped bundle's 95 % intervals: "
            f"{self.compared - len(self.outside)} of {self.compared}"
        )
        for figure in self.outside:
            side = "below" if figure.value < figure.low else "above"
            interval = f"[{figure.low:.3f}, {figure.high:.3f}]"
            yield f"  {side}: {figure.name} {figure.value:.3f}, shipped {interval}"
        if self.not_comparable:
            yield f"not compared, for want of the same tracks: {self.not_comparable} figures"


def compare_records(shipped: Json, made: Json) -> Reproduction:
    """Hold the figures of a made bundle against the intervals of the shipped one."""
    ours, theirs = made["figures"], shipped["figures"]
    common = [name for name in theirs if name in ours]
    usable = [n for n in common if _same_tracks(theirs[n]["set"], shipped["sets"], made["sets"])]
    outside = [
        Outside(name, ours[name]["value"], theirs[name]["low"], theirs[name]["high"])
        for name in usable
        if not theirs[name]["low"] <= ours[name]["value"] <= theirs[name]["high"]
    ]
    same = {
        key: made["data"][key] == shipped["data"][key]
        for key in ("identity", "recordings", "facts")
    }
    return Reproduction(
        same_data=same["identity"],
        same_recordings=same["recordings"],
        same_facts=same["facts"],
        same_model=made["model_id"] == shipped["model_id"],
        compared=len(usable),
        outside=tuple(outside),
        not_comparable=len(theirs) - len(usable),
    )


def _same_tracks(name: str, one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    behind = sets_behind(name)
    return all(part in one and one[part] == other.get(part) for part in behind)
