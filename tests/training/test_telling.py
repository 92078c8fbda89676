"""A term reader is fitted to sayings: it finds what unseen ones mean, and settled texts stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from models.networks.term_reader import TermReader
from models.text.tokenizer import TextTokenizer
from models.training.mulan import load_trained_mulan, read_term_reader, train_mulan
from models.training.recipes import mulan_tiny
from models.training.run import Run
from models.training.sayings import NAMED, Saying, terms_of, the_sayings
from models.training.settings import override
from models.training.telling import (
    Lesson,
    TellingConfig,
    fit_term_reader,
    is_told,
    make_lesson,
    tell_sayings,
)
from models.training.text_side import open_text_side
from tests.training.tiny_corpus import make_tiny_corpus

TERMS = ("organ", "flute", "drums")
WORDS = {
    "organ": ("pipes", "church", "pedals", "stops", "nave", "bellows"),
    "flute": ("silver", "blown", "breath", "shepherd", "reed", "airy"),
    "drums": ("sticks", "skins", "pounding", "beaten", "kit", "snare"),
}
LITTLE = ("the", "a", "in", "of", "with")
PLAIN = ("music", "calm", "piece", "track", "loud")
CONFIG = TellingConfig(piece_width=8, epochs=30, batch=32, peak_lr=0.03, joined=0)


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    words = ["?", *TERMS, *LITTLE, *PLAIN, *(word for said in WORDS.values() for word in said)]
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return TextTokenizer(made)


def lesson(random: np.random.Generator) -> tuple[Lesson, list[str], list[int]]:
    """Sayings of three words with some little ones, plain texts, and sayings held back."""
    texts, meant = [], []
    for number, term in enumerate(TERMS):
        for _ in range(60):
            words = [*random.choice(WORDS[term], 2, replace=False), *random.choice(LITTLE, 2)]
            texts.append(" ".join(random.permutation(words)))
            meant.append((number, number))
    for _ in range(60):
        texts.append(" ".join([*random.choice(PLAIN, 2), *random.choice(LITTLE, 2)]))
        meant.append((3, 3))
    order = random.permutation(len(texts))
    told, held = order[40:], order[:40]
    # Sentence states say nothing here.
    states = random.normal(size=(len(texts), 12))
    made = Lesson([texts[i] for i in told], states[told], np.array(meant)[told], np.eye(3, 5))
    return made, [texts[i] for i in held], [meant[i][0] for i in held]


def answers(reader: TermReader, tokenizer: TextTokenizer, texts: list[str]) -> np.ndarray:
    tokens = tokenizer.encode(texts)
    rows = reader.rows[torch.from_numpy(tokens.token_ids)].long() * torch.from_numpy(tokens.mask)
    with torch.no_grad():
        found = reader.answers(torch.zeros(len(texts), 12), rows)
    return torch.softmax(found, dim=1).numpy()


def test_unseen_sayings_are_understood_and_plain_texts_mean_none(tokenizer: TextTokenizer) -> None:
    told, held, meant = lesson(np.random.default_rng(0))
    reader = fit_term_reader(told, tokenizer, CONFIG)
    shares = answers(reader, tokenizer, held)
    assert (shares.argmax(axis=1) == np.array(meant)).mean() > 0.95
    plain = shares[np.array(meant) == 3]
    assert len(plain) > 3
    assert plain[:, 3].min() > 0.8


def test_the_same_lesson_gives_the_same_reader(tokenizer: TextTokenizer) -> None:
    told, _, _ = lesson(np.random.default_rng(0))
    one, other = (fit_term_reader(told, tokenizer, CONFIG).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_states_count_as_they_come(tokenizer: TextTokenizer) -> None:
    """What is fitted on standardised states reads plain ones."""
    told, _, _ = lesson(np.random.default_rng(0))
    states = 0.05 * np.eye(4, 12)[told.meant[:, 0]] + 0.3
    little = [LITTLE[place % len(LITTLE)] for place in range(len(states))]
    unsaid = Lesson(little, states, told.meant, told.terms)
    reader = fit_term_reader(unsaid, tokenizer, CONFIG)
    with torch.no_grad():
        rows = torch.zeros(len(states), 1, dtype=torch.int64)
        found = reader.answers(torch.from_numpy(states).float(), rows).argmax(dim=1).numpy()
    assert (found == told.meant[:, 0]).all()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    corpus = make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tracks=24)
    folder = tmp_path_factory.mktemp("runs") / "mulan"
    settings = [*corpus.data_settings, f"text_folder={corpus.text}"]
    train_mulan(override(mulan_tiny(), settings), folder, "tiny", resume=False)
    return folder


def test_a_run_is_told_and_knows_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = the_sayings()[::100]
    monkeypatch.setattr("models.training.telling.the_sayings", lambda: few)
    config = TellingConfig(piece_width=4, epochs=1, joined=8)
    told, source = (Run(run).checkpoint(name) for name in ("told", "last"))
    assert not is_told(told, source, config)
    assert tell_sayings(run, "last", "told", config) == len(few) > 300
    assert is_told(told, source, config)
    assert not is_told(told, source, TellingConfig())
    assert read_term_reader(source) is None
    before, after = (load_trained_mulan(run, name).network for name in ("last", "told"))
    assert before.text.term_reader is None
    reader = after.text.term_reader
    assert reader is not None
    assert read_term_reader(told) == reader.config
    assert reader.config.terms == len(terms_of(few))
    for name, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[name], value), name


def test_a_lesson_holds_what_is_settled_and_joins_texts(run: Path) -> None:
    side = open_text_side(run, "last")
    said = [
        Saying("organ", "pipes in a nave", "one"),
        Saying("flute", "a silver tube", "one"),
        Saying("organ", "an organ at a fair", NAMED),
    ]
    made = make_lesson(side, said, TellingConfig(joined=200))
    meant = dict(zip(made.texts, made.meant.tolist(), strict=True))
    assert meant["pipes in a nave"] == [0, 0]
    assert meant["a silver tube"] == [1, 1]
    assert meant["an organ at a fair"] == [2, 0]
    assert meant["organ"] == [2, 0]
    assert meant["calm music"] == [2, 2]
    joined = {tuple(m) for t, m in meant.items() if "silver" in t and "pipes in a nave" in t}
    assert joined <= {(0, 1), (1, 0)}
    assert joined
    named = {tuple(m) for t, m in meant.items() if "organ" in t and "silver" in t}
    assert named == {(2, 0), (2, 1)}
    plain = {tuple(m) for t, m in meant.items() if "calm" in t and "silver" in t}
    assert plain <= {(2, 1)}
    assert len(made.states) == len(made.texts)
    np.testing.assert_allclose(np.linalg.norm(made.terms, axis=1), 1.0)
