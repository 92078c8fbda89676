"""What listeners' words mean in the teacher's tags: a glossary written by hand.

Legend: P phrases, K tags.

A tagger knows a hundred words. Their likeness to another word, as a text encoder sees it, is a poor
translation: to it "electric guitar" is the tag "guitar", which in the tagger's training data mostly
is a classical one. `glossary.txt` says it as somebody who knows music would: loud rock with
guitars, and rather not classical. Its lines were written before anything was scored with them, from
no evaluated track or sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.teacher.vocabulary import TEACHER_TAGS

Floats = NDArray[np.float32]

PATH = Path(__file__).with_name("glossary.txt")
SECTIONS = ("genre", "instrument", "voice", "sound", "mood")
_GROUPS = "groups"
_TERM = re.compile(r"(?P<name>.+?)(?:\s+(?P<weight>-?\d*\.?\d+))?")


class GlossaryError(ValueError):
    """A line is not of the form that the file describes; the message says which and why."""


@dataclass(frozen=True)
class Glossary:
    """Phrases [P] with the section of each, and their weights [P, K]; absolute values sum to 1."""

    phrases: tuple[str, ...]
    sections: tuple[str, ...]
    weights: Floats

    def of(self, section: str) -> list[str]:
        """Return the phrases of one section."""
        return [p for p, s in zip(self.phrases, self.sections, strict=True) if s == section]


@cache
def the_glossary() -> Glossary:
    """Read the glossary of the repository."""
    return read_glossary(PATH.read_text("utf-8"), TEACHER_TAGS)


def read_glossary(text: str, tags: Sequence[str]) -> Glossary:
    """Read a glossary for a list of tags; GlossaryError names the line that it stumbles over."""
    groups: dict[str, list[str]] = {}
    found: dict[str, tuple[str, Floats]] = {}
    for number, section, left, right in _lines(text):
        try:
            if section == _GROUPS:
                groups[left] = [name.strip() for name in right.split(",")]
                continue
            weights = _weights(right, tags, groups)
            for phrase in (part.strip() for part in left.split(",")):
                if phrase in found:
                    raise GlossaryError(f"{phrase!r} was said before")
                found[phrase] = (section, weights)
        except GlossaryError as error:
            raise GlossaryError(f"line {number}: {error}") from error
    return Glossary(
        phrases=tuple(found),
        sections=tuple(section for section, _ in found.values()),
        weights=np.stack([weights for _, weights in found.values()]),
    )


def _lines(text: str) -> Iterator[tuple[int, str, str, str]]:
    section = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            if section not in (*SECTIONS, _GROUPS):
                raise GlossaryError(f"line {number}: there is no section {section!r}")
            continue
        left, bar, right = line.partition("|")
        if not bar or not section:
            raise GlossaryError(f"line {number}: phrases | tags are wanted, in a section")
        yield number, section, left.strip(), right.strip()


def _weights(terms: str, tags: Sequence[str], groups: Mapping[str, list[str]]) -> Floats:
    weights = np.zeros(len(tags), dtype=np.float32)
    for term in terms.split(","):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise GlossaryError("a tag is missing")
        for name in groups.get(match["name"], [match["name"]]):
            places = [place for place, tag in enumerate(tags) if tag == name]
            if not places:
                raise GlossaryError(f"the teacher has no tag {name!r}")
            weights[places] += float(match["weight"] or 1.0) / len(places)
    total = float(np.abs(weights).sum())
    if not total:
        raise GlossaryError("the weights cancel out")
    return weights / total
