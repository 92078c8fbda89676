import re

import pytest

from models.training.evaluation.free_text import read_free_text
from models.training.sayings import (
    NAMED,
    SayingsError,
    join_sayings,
    read_sayings,
    sayings_sha256,
    terms_of,
    the_sayings,
)

_LITTLE = """
a an the of in on at to with and or by for from his her their my is are was over under all no it
that who this at some one two
"""


def test_a_line_is_a_term_and_its_texts() -> None:
    said = read_sayings("mine", ["# a comment", "", "organ | pipes in a church | the big one"])
    assert [(saying.term, saying.text, saying.collection) for saying in said] == [
        ("organ", "pipes in a church", "mine"),
        ("organ", "the big one", "mine"),
    ]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["organ"], "mine, line 1: a term and its texts"),
        (["organ | pipes | "], "mine, line 1: a term and its texts"),
        (["organ | pipes", "organ | keys"], "mine, line 2: 'organ' has a line already"),
        (["organ | pipes", "flute | Pipes"], "mine, line 2: 'Pipes' was said before"),
    ],
)
def test_a_bad_line_is_named(lines: list[str], complaint: str) -> None:
    with pytest.raises(SayingsError, match=re.escape(complaint)):
        read_sayings("mine", lines)


def test_a_text_that_two_collections_share_is_kept_once_if_it_means_the_same() -> None:
    one = read_sayings("one", ["organ | pipes", "flute | a silver tube"])
    same = read_sayings("two", ["organ | Pipes | stops"])
    assert [saying.text for saying in join_sayings([one, same])] == [
        "pipes",
        "a silver tube",
        "stops",
    ]
    other = read_sayings("two", ["bagpipes | Pipes"])
    with pytest.raises(SayingsError, match="'Pipes' means 'organ' in one and 'bagpipes' in two"):
        join_sayings([one, other])


def test_the_repository_has_several_authors_for_most_terms() -> None:
    said = the_sayings()
    collections = set(sayings_sha256())
    assert {saying.collection for saying in said} == collections
    assert NAMED in collections
    authors: dict[str, set[str]] = {}
    for saying in said:
        authors.setdefault(saying.term, set()).add(saying.collection)
    several = [term for term, by in authors.items() if len(by - {NAMED}) > 1]
    assert len(several) > 250
    assert len(terms_of(said)) == len(authors) > 500


def test_no_saying_says_its_term_but_those_that_name_it() -> None:
    for saying in the_sayings():
        if saying.collection == NAMED:
            continue
        assert not re.search(rf"(?<!\w){re.escape(saying.term)}(?!\w)", saying.text, re.IGNORECASE)


def test_no_saying_repeats_an_evaluated_sentence() -> None:
    judged = {run for sentence in read_free_text() for run in _telling_runs(sentence.text)}
    assert len(judged) > 150
    repeated = [s.text for s in the_sayings() if _telling_runs(s.text) & judged]
    assert not repeated


def _telling_runs(text: str) -> set[tuple[str, ...]]:
    """Runs of three words of which at least two say something, and all runs of four."""
    words, little = re.findall(r"[\w'-]+", text.lower()), set(_LITTLE.split())
    threes = {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
    fours = {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
    return {run for run in threes if sum(word not in little for word in run) >= 2} | fours
