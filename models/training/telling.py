"""Tell the text side of a finished contrastive run what listeners say instead of the plain word.

Legend: S texts, L tokens, P width of a sentence state, K terms, E embedding width.

A person who asks for pipes in a church means an organ; a frozen sentence encoder need not know, and
a linear map on it learns no such thing. So a term reader (`models.networks.term_reader`) is fitted
to the sayings of the repository: a classifier of texts by the term that they mean, on sentence
state and single pieces. Its last class is "none of them": what training has settled (the words that
the teacher is asked by, mixtures of them, captions, translations) belongs to it, and so stays where
it was; a text that names its term belongs to it by half. The audio side has no part in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.networks.config import TermReaderConfig
from models.networks.term_reader import TermReader
from models.text.tokenizer import TextTokenizer
from models.training.countdown import Say, counted, silent
from models.training.mulan import TERM_READER
from models.training.queries import mixed_queries, vocabulary
from models.training.run import Run
from models.training.sayings import NAMED, Saying, sayings_sha256, terms_of, the_sayings
from models.training.tag_words import list_translations
from models.training.text_side import is_made_of, made_of, open_text_side

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Classes = tuple[int, int]

SAYINGS = "sayings"
"""Under this name a checkpoint's header and a lineage say what was told."""
_FORMS = ("{}, {}", "{} and {}", "{} with {}", "{} {}")


@dataclass(frozen=True)
class TellingConfig:
    """How a term reader is fitted; the defaults were chosen on sayings of authors left out.

    `joined` texts are made of two, one saying and another text; `piece_drop` and `state_drop` are
    how often a piece, and a value of the sentence state, is left out.
    """

    piece_width: int = 128
    epochs: int = 40
    batch: int = 256
    peak_lr: float = 3e-3
    weight_decay: float = 0.5
    piece_drop: float = 0.3
    state_drop: float = 0.2
    joined: int = 6_000
    least_kept: float = 0.1
    seed: int = 20261129


@dataclass(frozen=True)
class Lesson:
    """What is to be told: texts [S], their states [S, P], what each means [S, 2], and the terms.

    `meant` gives the numbers of two classes, which may be the same one; number K is none of the
    terms. `terms` [K, E] are where the terms lie.
    """

    texts: Sequence[str]
    states: Floats
    meant: Ints
    terms: Floats


def fit_term_reader(
    lesson: Lesson, tokenizer: TextTokenizer, config: TellingConfig, say: Say = silent
) -> TermReader:
    """Fit a reader to a lesson: the same numbers in every call on one machine with one thread."""
    generator = torch.Generator().manual_seed(config.seed)
    reader, rows = _empty_reader(lesson, tokenizer, config, generator)
    spread = float(lesson.states.std())
    states = torch.from_numpy((lesson.states - lesson.states.mean(axis=0)) / spread).float()
    meant = torch.from_numpy(lesson.meant)
    learned = [*reader.pieces.parameters(), *reader.of_state.parameters()]
    learned += reader.of_pieces.parameters()
    optimiser = torch.optim.AdamW(
        learned, lr=config.peak_lr, weight_decay=config.weight_decay, foreach=True
    )
    updates = config.epochs * max(len(rows) // config.batch, 1)
    update = 0
    for _ in counted(range(config.epochs), config.epochs, "epochs of telling", say):
        order = torch.randperm(len(rows), generator=generator)
        for first in range(0, max(len(rows) - config.batch + 1, 1), config.batch):
            chosen = order[first : first + config.batch]
            optimiser.param_groups[0]["lr"] = config.peak_lr * (1 - update / updates)
            seen = _drawn(rows[chosen].shape, 1 - config.piece_drop, generator)
            kept = _drawn(states[chosen].shape, 1 - config.state_drop, generator)
            dropped = states[chosen] * kept / (1 - config.state_drop)
            answers = functional.log_softmax(reader.answers(dropped, rows[chosen], seen), dim=1)
            loss = -answers.gather(1, meant[chosen]).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            update += 1
    # States were standardised: from here on they are only centred.
    with torch.no_grad():
        reader.of_state.weight /= spread
        reader.centre.copy_(torch.from_numpy(lesson.states.mean(axis=0)))
    return reader.eval().requires_grad_(False)


def _drawn(shape: torch.Size, chance: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) < chance


def _empty_reader(
    lesson: Lesson, tokenizer: TextTokenizer, config: TellingConfig, generator: torch.Generator
) -> tuple[TermReader, Tensor]:
    """A reader that knows the pieces and their rarity but nothing else, and the texts' rows."""
    tokens = tokenizer.encode(list(lesson.texts))
    ids = np.where(tokens.mask.astype(bool), tokens.token_ids, -1)
    counts = Counter(token for row in ids for token in set(row.tolist()))
    # Every text has them, padding none.
    for token in (-1, *(t for t, n in list(counts.items()) if n == len(ids))):
        counts.pop(token, None)
    known = sorted(counts)
    shape = TermReaderConfig(
        vocab_size=tokenizer.vocab_size,
        pieces=len(known),
        piece_width=config.piece_width,
        terms=len(lesson.terms),
        least_kept=config.least_kept,
    )
    reader = TermReader(shape, lesson.states.shape[1], lesson.terms.shape[1])
    table = np.zeros(tokenizer.vocab_size + 1, dtype=np.int32)  # the last one is for padding
    table[known] = np.arange(1, len(known) + 1)
    rarity = np.log(len(ids) / np.array([counts[token] for token in known]))
    with torch.no_grad():
        reader.rows.copy_(torch.from_numpy(table[:-1]))
        reader.rarity[1:] = torch.from_numpy(rarity).float()
        reader.terms.copy_(torch.from_numpy(lesson.terms).float())
        reader.pieces.weight.normal_(std=0.1, generator=generator)
        reader.pieces.weight[0] = 0.0
        for linear in (reader.of_state, reader.of_pieces):
            bound = linear.in_features**-0.5
            linear.weight.uniform_(-bound, bound, generator=generator)
        reader.of_state.bias.zero_()
    return reader, torch.from_numpy(table[ids].astype(np.int64))


class Told(Protocol):
    """A text side that can be told sayings: how it reads without a term reader."""

    @property
    def tokenizer(self) -> TextTokenizer: ...

    def sentence_states(self, texts: Sequence[str]) -> Floats:
        """Sentence states [N, P] of texts."""
        ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit vectors [N, E] of texts."""
        ...

    def captions(self) -> list[str]:
        """Captions that it was trained by, which are to stay; none where they are not known."""
        ...


def make_lesson(side: Told, sayings: Sequence[Saying], config: TellingConfig) -> Lesson:
    """Put together what a text side is told: the sayings, what is to stay, and texts joined."""
    terms = terms_of(sayings)
    none = len(terms)
    number = {term: place for place, term in enumerate(terms)}
    # What names its term is understood by the map too: half of it stays.
    meaning = dict.fromkeys(_settled(side), (none, none))
    meaning |= {term: (none, place) for term, place in number.items()}
    for saying in sayings:
        place = number[saying.term]
        meaning[saying.text] = (none if saying.collection == NAMED else place, place)
    meaning |= _joined(terms, [s.text for s in sayings if s.collection != NAMED], meaning, config)
    texts = list(meaning)
    return Lesson(
        texts=texts,
        states=side.sentence_states(texts),
        meant=np.array([meaning[text] for text in texts], dtype=np.int64),
        terms=side.embed(terms),
    )


def _settled(side: Told) -> list[str]:
    translated = [text for pair in list_translations() for text in pair]
    return [*vocabulary(), *mixed_queries(), *side.captions(), *translated]


def _joined(
    terms: Sequence[str],
    said: Sequence[str],
    meaning: Mapping[str, Classes],
    config: TellingConfig,
) -> dict[str, Classes]:
    """Join sayings with terms, with each other, and with plain words.

    Two sayings mean half of each. A term or a plain word is left to the map, by half: the other
    half is the saying beside it, or, every second time that a term is named, that term.
    """
    rng = np.random.default_rng(config.seed)
    pools = (terms, said, terms, vocabulary())
    made: dict[str, Classes] = {}
    for place in range(config.joined):
        turn = place % len(pools)
        pool = pools[turn]
        one, other = said[int(rng.integers(len(said)))], pool[int(rng.integers(len(pool)))]
        first, second = (one, other) if rng.random() < 0.5 else (other, one)
        text = _FORMS[int(rng.integers(len(_FORMS)))].format(first, second)
        # The first class of a term and of a plain word is none.
        half = meaning[one][1] if turn else meaning[other][1]
        if text not in meaning:
            made[text] = (meaning[other][0], half)
    return made


def tell_sayings(
    run: Path,
    checkpoint: str,
    out: str,
    config: TellingConfig | None = None,
    say: Say = silent,
) -> int:
    """Write a checkpoint of a mulan run that reads sayings; return how many it was told.

    Raises RunError for a run that reads no sentence embeddings.
    """
    config = config or TellingConfig()
    side = open_text_side(run, checkpoint)
    reader = fit_to_sayings(side, config, say)
    source = Run(run).checkpoint(checkpoint)
    header = {
        SAYINGS: made_of(source, facts_of_telling(config)),
        TERM_READER: asdict(reader.config),
    }
    side.write_reader(out, reader, header)
    return len(the_sayings())


def fit_to_sayings(side: Told, config: TellingConfig, say: Say = silent) -> TermReader:
    """Fit a reader for a text side to the sayings of the repository."""
    said = the_sayings()
    say(f"reading {len(said)} sayings and what is to stay")
    return fit_term_reader(make_lesson(side, said, config), side.tokenizer, config, say)


def is_told(out: Path, source: Path, config: TellingConfig | None = None) -> bool:
    """Whether `out` is there and made of this very checkpoint and these sayings."""
    return is_made_of(out, source, SAYINGS, facts_of_telling(config or TellingConfig()))


def facts_of_telling(config: TellingConfig) -> dict[str, Any]:
    """What a reader was fitted to and how: for a checkpoint's header, and a bundle's lineage."""
    return {
        "texts": len(the_sayings()),
        "terms": len(terms_of(the_sayings())),
        "files_sha256": dict(sayings_sha256()),
        "fitted_with": asdict(config),
    }
