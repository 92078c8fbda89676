"""Texts of a contrastive run: lists of tags in several languages, what fits whom, live encoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.text.pretrained import TextFolderError, load_pretrained
from models.training.captions import CaptionWeights, TagMatches, tag_texts, texts_of
from models.training.data import open_training_data
from models.training.live_texts import open_pretrained_reader
from models.training.manifest import ManifestEntry
from models.training.mulan import MulanTask
from models.training.recipes import mulan_tiny
from models.training.settings import override
from models.training.tag_words import TEMPLATES, translate_tag
from tests.training.pretrained_text import make_pretrained
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def track(**tags: tuple[str, ...]) -> ManifestEntry:
    return ManifestEntry(
        id="t", path="t.wav", duration_s=5.0, split="train", group="g", source="x",
        sha256="0" * 64, title=None, artist=None, licence="x", attribution="", tags=tags,
    )  # fmt: skip


def test_tag_lists_speak_the_languages_asked_for() -> None:
    entry = track(genre=("rock",), instrument=("piano", "theremin"))
    weights = CaptionWeights(tag_lists=200, languages=("de", "ja"))
    made = tag_texts(entry, weights)
    texts = {text.text for text in made}
    assert any("Klavier" in text for text in texts)
    assert any("ピアノ" in text for text in texts)
    # What the table does not have stays; English alone was not asked for.
    assert any("theremin" in text for text in texts)
    assert not any("track" in text for text in texts)
    # Tags are dropped and ordered anew, and a text says which ones it names.
    assert {len(text.tags) for text in made} == {1, 2, 3}
    assert all(text.tags <= {"rock", "piano", "theremin"} for text in made)
    one = tag_texts(entry, CaptionWeights(tag_lists=50, most_tags=1))
    assert {len(text.tags) for text in one} == {1}
    assert set(TEMPLATES) == {"en", "fr", "de", "es", "zh", "ja", "ru"}
    assert translate_tag("piano", "ru") == "пианино"
    with pytest.raises(ValueError, match="no templates for"):
        CaptionWeights(languages=("en", "xx"))


def test_stated_tags_come_with_the_texts() -> None:
    made = texts_of(track(genre=("rock", "pop")), CaptionWeights())
    assert all(stated and stated <= {"rock", "pop"} for stated in made.stated)


def test_matches_are_what_comparing_sets_gives() -> None:
    tracks = [frozenset(t.split()) for t in ("rock loud", "rock", "jazz calm", "")]
    texts = [frozenset(t.split()) for t in ("rock", "rock loud", "", "calm", "rock")]
    matches = TagMatches(tracks, texts)
    rows, columns = np.array([0, 1, 2, 3, 1]), np.array([0, 1, 2, 3, 4])
    fits = matches.between(rows, columns)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            said = texts[column]
            right = (bool(said) and said <= tracks[row]) or columns[i] == column
            assert fits[i, j] == right, (row, column)


def test_texts_fit_every_track_that_carries_their_tags(corpus: TinyCorpus) -> None:
    settings = [*corpus.data_settings, f"text_folder={corpus.text}", "positives=tags",
                "captions.fact=0", "data.phases.0.batch_size=8"]  # fmt: skip
    recipe = override(mulan_tiny(), settings)
    task = MulanTask(recipe, open_training_data(recipe.data))
    batch = task.batch(0)
    assert batch.positives is not None
    crops = task.batches.crops(0)
    kinds = [task.batches.sampler.entries[i].tags["genre"] for i in crops.tracks]
    expected = np.array([[one == other for other in kinds] for one in kinds])
    np.testing.assert_array_equal(batch.positives, expected)
    assert task.loss(batch).loss.isfinite()


@pytest.mark.parametrize("prefix", ["", "roberta.", "bert."])
def test_a_pretrained_encoder_is_read_from_any_model(
    corpus: TinyCorpus, tmp_path: Path, prefix: str
) -> None:
    written = make_pretrained(tmp_path, corpus.text / "tokenizer.json", prefix)
    read = load_pretrained(tmp_path)
    for name, value in written.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name


def test_a_folder_without_an_encoder_is_refused(corpus: TinyCorpus, tmp_path: Path) -> None:
    with pytest.raises(TextFolderError, match=r"config\.json does not exist"):
        load_pretrained(tmp_path)
    make_pretrained(tmp_path, corpus.text / "tokenizer.json", "other.")
    with pytest.raises(TextFolderError, match="missing"):
        load_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(TextFolderError, match="pickled"):
        load_pretrained(tmp_path)


def test_live_texts_are_what_the_encoder_reads_alone(corpus: TinyCorpus, tmp_path: Path) -> None:
    make_pretrained(tmp_path, corpus.text / "tokenizer.json")
    reader = open_pretrained_reader(tmp_path)
    texts = reader.texts(["a low sound", "noise", "a low sound"])
    assert texts.index("noise") == 1
    batch = texts.batch(np.array([0, 1]))
    assert batch.mask.sum(dim=1).tolist() == [13, 7]
    states = texts.backbone()(batch.rows, batch.mask).last_hidden_state
    alone = texts.batch(np.array([1]))
    expected = reader.encoder(alone.rows, alone.mask).last_hidden_state
    torch.testing.assert_close(states[1, :7], expected[0])
