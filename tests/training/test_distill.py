"""What a teacher teaches, against sums written out; and where crops are moved to be taught."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.training.captions import CaptionWeights, tag_texts, texts_of
from models.training.cli import train_app
from models.training.data import Crops
from models.training.distill import (
    DistillConfig,
    DistillHeads,
    LabelledWindows,
    Lesson,
    TeacherKnowledge,
    distill,
    load_teacher,
)
from models.training.manifest import Caption, ManifestEntry
from models.training.queries import list_queries, mixed_queries, vocabulary
from models.training.teacher.vocabulary import TEACHER_TAGS
from tests.training.tiny_corpus import (
    make_entry,
    make_labels,
    make_tiny_corpus,
    sound,
    write_wav,
)


def softmax(values: list[float]) -> list[float]:
    exponentials = [math.exp(value) for value in values]
    return [e / sum(exponentials) for e in exponentials]


@torch.no_grad()
def test_divergences_are_those_of_the_definition() -> None:
    torch.manual_seed(0)
    clips, queries, tags, width = 3, 4, 5, 6
    heads = DistillHeads(width, tags, 2)
    audio = torch.nn.functional.normalize(torch.randn(clips, width), dim=1)
    texts = torch.nn.functional.normalize(torch.randn(queries, width), dim=1)
    lesson = Lesson(torch.rand(queries, tags), torch.randn(clips, tags), torch.randn(clips, 2))
    losses = distill(heads, audio, texts, lesson, sharpness=2.0)

    teacher = 2.0 * (lesson.weights @ lesson.logits.T)
    student = 10.0 * (texts @ audio.T)
    over_clips = np.mean([_divergence(teacher[q], student[q]) for q in range(queries)])
    over_queries = np.mean([_divergence(teacher[:, c], student[:, c]) for c in range(clips)])
    assert float(losses.over_clips) == pytest.approx(over_clips, rel=1e-5)
    assert float(losses.over_queries) == pytest.approx(over_queries, rel=1e-5)
    weights = DistillConfig(query_weight=2.0, tag_weight=0.5, embedding_weight=0.0)
    expected = 2.0 * (over_clips + over_queries) + 0.5 * float(losses.tags)
    assert float(losses.total(weights)) == pytest.approx(expected, rel=1e-5)


def _divergence(teacher: torch.Tensor, student: torch.Tensor) -> float:
    p, q = softmax(teacher.tolist()), softmax(student.tolist())
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@torch.no_grad()
def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    heads = DistillHeads(4, 4, 1)
    audio = torch.eye(4)
    lesson = Lesson(torch.eye(4), torch.eye(4), torch.zeros(4, 1))
    losses = distill(heads, audio, torch.eye(4), lesson, sharpness=10.0)
    assert float(losses.over_clips) == pytest.approx(0.0, abs=1e-6)
    assert float(losses.over_queries) == pytest.approx(0.0, abs=1e-6)


def test_crops_move_into_windows_that_the_teacher_heard() -> None:
    knowledge = TeacherKnowledge(
        files=("a", "a", "b"),
        starts_s=np.array([10.0, 50.0, 0.0], np.float32),
        lengths_s=np.array([10.0, 10.0, 2.0], np.float32),
        logits=np.zeros((3, 1), np.float32),
        embeddings=np.zeros((3, 1), np.float32),
    )
    windows = LabelledWindows(knowledge)
    crops = Crops(np.arange(3), np.array([7, 8, 9]), frames=300)
    seen = set()
    for seed in range(40):
        moved, rows = windows.place(["a", "b", "c"], crops, np.random.default_rng(seed))
        seen.add(int(rows[0]))
        first = 1000 if rows[0] == 0 else 5000
        assert first <= moved.starts[0] <= first + 700
        assert moved.starts[1] == 0  # a window shorter than the crop starts where it starts
        assert (moved.starts[2], rows[2]) == (9, -1)
    assert seen == {0, 1}


def test_teacher_is_standardised_over_training_tracks_only(tmp_path: Path) -> None:
    entries = []
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        write_wav(path, sound("noise", 0.6, number))
        kind = ("low", "high", "noise")[number % 3]
        entries.append(make_entry(path, kind, "train" if number < 4 else "test"))
    make_labels(tmp_path / "labels.npz", entries)
    knowledge = load_teacher(tmp_path / "labels.npz", entries)
    assert set(knowledge.files) == {entry.sha256 for entry in entries[:4]}
    np.testing.assert_allclose(knowledge.logits.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(knowledge.logits.std(axis=0), 1.0, atol=1e-3)
    with pytest.raises(ValueError, match="no training track"):
        load_teacher(tmp_path / "labels.npz", entries[4:])


def track(captions: tuple[Caption, ...], tags: dict[str, tuple[str, ...]]) -> ManifestEntry:
    return ManifestEntry(
        id="t", path="t.wav", duration_s=3.0, split="train", group="g", source="s",
        sha256="0" * 64, title=None, artist=None, licence="CC0-1.0", attribution="",
        captions=captions, tags=tags,
    )  # fmt: skip


def test_captions_are_weighted_by_kind_and_by_their_own_weight() -> None:
    entry = track(
        (
            Caption("a fact", "fact", 2.0),
            Caption("Its Title", "title"),
            Caption("heard", "teacher"),
        ),
        {},
    )
    chosen = texts_of(entry, CaptionWeights(fact=1.0, title=0.5, teacher=0.0))
    assert dict(zip(chosen.texts, chosen.chances, strict=True)) == {"a fact": 0.8, "Its Title": 0.2}
    assert texts_of(track((), {}), CaptionWeights()).texts == ()


def test_lists_of_tags_hold_only_the_track_s_tags() -> None:
    entry = track((), {"genre": ("folk",), "instrument": ("fiddle", "flute")})
    lists = [made.text for made in tag_texts(entry, CaptionWeights())]
    assert lists == [made.text for made in tag_texts(entry, CaptionWeights())]
    words = {word for text in lists for word in text.replace(",", " ").replace(":", " ").split()}
    assert words & {"folk", "fiddle", "flute"}
    assert words <= {"folk", "fiddle", "flute", "music", "a", "track"}


def test_queries_are_tags_words_and_captions_once_each() -> None:
    entry = track((Caption("folk music", "fact"), Caption("a rare caption", "fact")), {})
    queries = list_queries([entry], ["guitar", "techno"], CaptionWeights())
    assert len({query.text for query in queries}) == len(queries)
    meant = {query.meant for query in queries}
    assert {"guitar", "techno", "a rare caption", *vocabulary(), *mixed_queries()} == meant
    misspelt = [query for query in queries if query.text != query.meant]
    assert 0.05 < len(misspelt) / len(queries) < 0.2


def test_a_run_with_another_teacher_s_labels_says_what_to_do(tmp_path: Path) -> None:
    corpus = make_tiny_corpus(tmp_path)
    np.savez(corpus.labels, tags=np.asarray(TEACHER_TAGS), track_ids=np.asarray(["a"]))
    settings = [*corpus.data_settings, f"text_folder={corpus.text}"]
    settings.append(f"distill.labels={corpus.labels}")
    told = [part for setting in settings for part in ("--set", setting)]
    called = ["mulan", "--recipe", "tiny", "--run", str(tmp_path / "run"), *told]
    result = CliRunner().invoke(train_app, called)
    assert result.exit_code == 2
    assert "move it away" in " ".join(result.output.split())
