"""Teach the text side of a finished contrastive run what listeners say instead of the plain word.

Legend: S sayings, K terms, G general texts, P width before the last map, E embedding width.

A person who asks for pipes in a church means an organ; a frozen sentence encoder need not know.
`sayings.txt` holds plain terms, each with texts that a listener could type for
it without saying it. The last map of the text side is moved so that a saying comes to lie where its
term lies, and nearer to it than to any other term, while what training has settled stays: the words
that the teacher was asked by, mixtures of them, captions, and translations of common tags.

The loss is a cross-entropy over the terms, as in contrastive training, and the distance to what is
wanted; terms, and what is to stay, keep the places that they have before. The audio side has no
part in it, so that it takes a minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.checksum import file_sha256
from models.training.checkpoint import read_extras
from models.training.queries import mixed_queries, vocabulary
from models.training.run import Run
from models.training.tag_words import list_translations
from models.training.text_side import Floats, open_text_side

PATH = Path(__file__).with_name("sayings.txt")

_STEPS = 200
_LEARNING_RATE = 3e-3
# Cosines are multiplied by it before the softmax over terms.
_SCALE = 40.0
# Distances count so much more than the cross-entropy.
_DISTANCE = 10.0
_HEADER = "sayings"

Ints = NDArray[np.int64]


class SayingsError(ValueError):
    """A line is not of the form that the file describes; the message says which and why."""


@dataclass(frozen=True)
class Saying:
    """A text, and the plain term that it means."""

    term: str
    text: str


def read_sayings(lines: Sequence[str]) -> list[Saying]:
    """Read lines of a term and its texts, separated by bars; SayingsError names the bad line."""
    found: dict[str, Saying] = {}
    terms: set[str] = set()
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        term, *texts = (part.strip() for part in line.split("|"))
        if not term or not texts or not all(texts):
            raise SayingsError(f"line {number}: a term and its texts are wanted, separated by |")
        if term in terms:
            raise SayingsError(f"line {number}: {term!r} has a line already")
        terms.add(term)
        for text in texts:
            if text.lower() in found:
                raise SayingsError(f"line {number}: {text!r} was said before")
            found[text.lower()] = Saying(term, text)
    return list(found.values())


@cache
def the_sayings() -> tuple[Saying, ...]:
    """Read the sayings of the repository."""
    return tuple(read_sayings(PATH.read_text("utf-8").splitlines()))


@dataclass(frozen=True)
class Lesson:
    """What the last map is to do, said by what it is given.

    Sayings [S, P] mean terms [K, P] by their numbers [S]; groups of general texts [G, P], one as
    important as another, are to stay.
    """

    sayings: Floats
    meant: Ints
    terms: Floats
    general: tuple[Floats, ...]


def taught_map(
    weight: Floats, bias: Floats, lesson: Lesson, keep: float, steps: int = _STEPS
) -> Floats:
    """Return the weight [E, P] under which sayings lie where their terms lie under `weight`.

    `keep` weighs the general texts' distance against that of the sayings. Full batches, Adam with a
    rate that falls to zero: the same numbers in every call on one machine.
    """
    given = torch.from_numpy(weight).float()
    added = torch.from_numpy(bias).float()

    def places(states: Tensor, by: Tensor) -> Tensor:
        return functional.normalize(states @ by.T + added, dim=-1)

    sayings, terms, *general = (
        torch.from_numpy(states).float()
        for states in (lesson.sayings, lesson.terms, *lesson.general)
    )
    meant = torch.from_numpy(lesson.meant)
    wanted, stays = places(terms, given), [places(group, given) for group in general]
    moved = given.clone().requires_grad_()
    optimiser = torch.optim.Adam([moved], lr=_LEARNING_RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _LEARNING_RATE * (1 - step / steps)
        cosines = places(sayings, moved) @ wanted.T
        to_term = 1 - cosines.gather(1, meant[:, None]).mean()
        to_before = torch.stack(
            [
                1 - (places(group, moved) * before).sum(dim=1).mean()
                for group, before in zip(general, stays, strict=True)
            ]
        ).mean()
        loss = functional.cross_entropy(_SCALE * cosines, meant)
        loss = loss + _DISTANCE * (to_term + keep * to_before)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    result: Floats = moved.detach().double().numpy()
    return result


def teach_sayings(run: Path, checkpoint: str, out: str, keep: float) -> int:
    """Write a checkpoint of a mulan run whose text side knows the sayings; return how many.

    `keep` is as in `taught_map` (docs/experiments.md says what it trades). Raises RunError for a
    run that reads no sentence embeddings.
    """
    side = open_text_side(run, checkpoint)
    said = the_sayings()
    terms = list(dict.fromkeys(saying.term for saying in said))
    number = {term: place for place, term in enumerate(terms)}
    translated = [text for pair in list_translations() for text in pair]
    lesson = Lesson(
        sayings=side.before_the_map([saying.text for saying in said]),
        meant=np.array([number[saying.term] for saying in said], dtype=np.int64),
        terms=side.before_the_map(terms),
        general=tuple(
            side.before_the_map(list(dict.fromkeys(texts)))
            for texts in (vocabulary(), mixed_queries(), side.captions(), translated)
        ),
    )
    weight = taught_map(side.weight, side.bias, lesson, keep)
    side.write(out, weight, {_HEADER: _facts(Run(run).checkpoint(checkpoint), keep)})
    return len(said)


def knows_sayings(out: Path, source: Path, keep: float) -> bool:
    """Whether `out` is there and made of this very checkpoint and these sayings."""
    if not out.exists() or not source.exists():
        return False
    return bool(read_extras(out).get(_HEADER) == _facts(source, keep))


def _facts(source: Path, keep: float) -> Mapping[str, Any]:
    return {
        "texts": len(the_sayings()),
        "terms": len({saying.term for saying in the_sayings()}),
        "file_sha256": file_sha256(PATH),
        "keep": keep,
        "source_sha256": file_sha256(source),
    }
