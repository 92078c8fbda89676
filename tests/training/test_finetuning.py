"""Fine-tuning on a library: tables, splits, judgement, and the whole way on a tiny bundle."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import models
from models.bundle.from_run import RunToBundle, bundle_from_run
from models.training.cli import train_app
from models.training.data import open_training_data
from models.training.evaluate import embed_tracks
from models.training.finetuning.judging import compare, general_ability
from models.training.finetuning.library import (
    LibraryError,
    labels_of,
    read_library,
    read_table,
    split_groups,
)
from models.training.finetuning.parent import open_parent
from models.training.finetuning.run import (
    FinetuneOrder,
    _prepare,
    _Tower,
    default_recipe,
    export_finetuned,
    finetune,
    load_tuned,
)
from models.training.finetuning.task import FinetuneTask, TunedTower
from models.training.manifest import ManifestEntry
from models.training.mel_cache import MelCache
from models.training.metrics import roc_auc
from models.training.mulan import train_mulan
from models.training.recipes import mulan_tiny
from models.training.settings import override
from tests.models.golden import golden_roots
from tests.models.test_bundle_published import write_tokenizer
from tests.training.tiny_corpus import make_entry, make_tiny_corpus, sound, write_wav

_SOUNDS = ("low", "high", "noise", "pulse")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle of tiny towers; so short a training need not have pulled texts apart."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("parent")
    corpus = make_tiny_corpus(root)
    settings = [*corpus.data_settings, f"text_folder={corpus.text}"]
    train_mulan(override(mulan_tiny(), settings), root / "run", "tiny", resume=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("models.bundle.self_test.MAX_TEXT_COSINE", 1.01)
        order = RunToBundle(root / "run", root / "bundle", "parent", "CC0-1.0", reference_clips=10)
        bundle_from_run(order)
        yield root / "bundle"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-eight sounds by fourteen artists, named in a table beside them."""
    folder = tmp_path_factory.mktemp("library")
    with (folder / "tags.csv").open("w", encoding="utf-8-sig", newline="") as out:
        table = csv.writer(out)
        table.writerow(["Path", "artist", "Mood", "caption"])
        for number in range(28):
            kind = _SOUNDS[number % 4]
            name = f"music/{number}.wav"
            (folder / "music").mkdir(exist_ok=True)
            write_wav(folder / name, sound(kind, 3.2, seed=number))
            artist = f"artist {number // 4}-{number % 2}"
            table.writerow([name, artist, f"{kind}; Sound {kind}", f"a {kind} tone|second"])
    return folder


def entry(name: str, group: str, **tags: tuple[str, ...]) -> ManifestEntry:
    return ManifestEntry(
        id=name, path=f"{name}.wav", duration_s=5.0, split="train", group=group, source="x",
        sha256="0" * 64, title=None, artist=None, licence="x", attribution="", tags=tags,
    )  # fmt: skip


def test_a_table_is_read(library: Path) -> None:
    rows = read_table(library / "tags.csv")
    assert len(rows) == 28
    row = rows["music/2.wav"]
    assert row.tags == {"mood": ("noise", "sound noise")}
    assert row.captions == ("a noise tone", "second")
    assert (row.artist, row.title) == ("artist 0-0", None)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("name,mood\na.wav,calm\n", "needs a column `path`"),
        ("path,mood\na.wav\n", "line 2: not 2 columns"),
        ("path,mood\na.wav,calm\n./a.wav,loud\n", "line 3: path empty, or there twice"),
        ("path,mood\n,calm\n", "line 2: path empty"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(LibraryError, match=wrong):
        read_table(tmp_path / "tags.csv")


def test_groups_never_straddle_and_every_part_gets_some() -> None:
    sizes = [7, 5, 4, 3, 3, 2, 2, 1, 1, 1, 1]
    entries = [entry(f"{g}-{i}", f"g{g}") for g, size in enumerate(sizes) for i in range(size)]
    split = split_groups(entries)
    parts: dict[str, set[str]] = {}
    for one in split:
        parts.setdefault(one.group, set()).add(one.split)
    assert all(len(found) == 1 for found in parts.values())
    counts = Counter(one.split for one in split)
    assert counts["train"] >= 15
    assert counts["valid"] >= 3
    assert counts["test"] >= 4
    assert [e.split for e in split_groups(entries)] == [e.split for e in split]


def test_labels_are_those_that_tell_tracks_apart() -> None:
    entries = [
        entry(str(i), "g", mood=("calm",) if i else ("loud",), era=("old",)) for i in range(4)
    ]
    entries += [entry("x", "g", mood=("loud", "rare"))]
    assert labels_of(entries) == {"mood": ["calm", "loud"]}


def test_a_library_needs_its_files_and_enough_of_them(library: Path, tmp_path: Path) -> None:
    found = read_library(library, library / "tags.csv")
    assert Counter(e.group for e in found.entries)["artist:artist 0-0"] == 2
    assert found.entries[0].captions[0].kind == "fact"
    (tmp_path / "tags.csv").write_text("path,mood\nnothing.wav,calm\n")
    with pytest.raises(LibraryError, match=r"lacks: nothing\.wav"):
        read_library(library, tmp_path / "tags.csv")
    # Without the table the files carry no tags at all.
    with pytest.raises(LibraryError, match="0 tracks with tags"):
        read_library(library)


def test_a_comparison_has_the_interval_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((40, 3)) < 0.4
    poor = rng.normal(size=(40, 3))
    good = poor + 3.0 * truth
    groups = [str(i // 2) for i in range(40)]
    told = {kind: np.ones(40, dtype=bool) for kind in "ab"}
    compared = compare({"a": poor}, {"a": good}, {"a": truth}, told, groups, 200)
    figures = {c.name: c for c in compared}
    figure = figures["a roc_auc"]
    assert figure.verdict == "helped"
    expected = [np.mean([roc_auc(s[:, i], truth[:, i]) for i in range(3)]) for s in (poor, good)]
    assert figure.before.value == pytest.approx(expected[0])
    assert figure.difference.value == pytest.approx(expected[1] - expected[0])
    assert figure.difference.low <= figure.difference.value <= figure.difference.high
    back = compare({"a": good}, {"a": poor}, {"a": truth}, told, groups, 200)
    assert back[0].verdict == "harmed"
    both, right = {"a": good, "b": good}, {"a": truth, "b": truth}
    same = compare(both, both, right, told, groups, 50)
    assert same[0].name == "all labels roc_auc"
    assert same[0].verdict == "no measurable difference"


def test_tracks_without_a_label_of_a_kind_are_not_judged_by_it() -> None:
    rng = np.random.default_rng(0)
    truth = np.eye(3, dtype=bool)[rng.integers(0, 3, 30)]
    told = np.arange(30) % 3 > 0
    truth[~told] = False
    scores = rng.normal(size=(30, 3)) + truth
    groups = [str(i) for i in range(30)]
    figure = compare({"a": scores}, {"a": scores}, {"a": truth}, {"a": told}, groups, 20)[0]
    expected = np.mean([roc_auc(scores[told, i], truth[told, i]) for i in range(3)])
    assert figure.after.value == pytest.approx(expected)
    assert (figure.labels, figure.tracks) == (3, 20)


def test_general_ability_is_one_where_nothing_moved() -> None:
    rng = np.random.default_rng(0)
    tracks, queries = (rng.normal(size=(12, 8)).astype(np.float32) for _ in range(2))
    still = general_ability(tracks, tracks, queries, 0.0)
    for value in (still.clip_cosine, still.ranking, still.neighbours):
        assert value == pytest.approx(1.0)
    other = rng.normal(size=(12, 8)).astype(np.float32)
    moved = general_ability(tracks, other, queries, 0.0)
    assert max(moved.clip_cosine, moved.ranking, moved.neighbours) < 0.7


def options(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


SETTINGS = options(
    "data.phases.0.crop_s=2", "data.phases.0.batch_size=8", "optimiser.updates=24",
    "data.phases.0.until_update=24", "optimiser.warmup_updates=0", "optimiser.peak_lr=0.02",
    "loop.validate_every=4", "loop.save_every=4", "loop.threads=1", "loop.patience=50",
)  # fmt: skip


def test_a_library_is_learned_judged_and_exported(
    bundle: Path, library: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "tuned"
    command = [
        "finetune", str(library), "--bundle", str(bundle), "--tags", str(library / "tags.csv"),
        "--run", str(run), "--processes", "1",
    ]  # fmt: skip
    result = CliRunner().invoke(train_app, [*command, *SETTINGS, "--out", str(out), "--always"])
    assert result.exit_code == 0, result.output
    report = json.loads((run / "finetuning.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    # So few tracks to stop by may gain or lose; the best of what they said is what counts.
    stopped_by = [line["label_loss"] for line in lines if line["kind"] == "valid"]
    assert report["best_update_loss"] == pytest.approx(min(stopped_by))
    assert report["comparisons"][0]["name"] == "mood roc_auc"
    assert report["ability"]["text_difference"] == 0.0
    assert 0 < report["ability"]["clip_cosine"] < 1
    assert report["summary"] in result.output
    assert (run / "finetuning.png").read_bytes().startswith(b"\x89PNG")
    assert "held-out tracks" in (run / "finetuning.txt").read_text()

    parent, tuned = models.load_bundle(bundle, device="cpu"), models.load_bundle(out, device="cpu")
    assert tuned.model_id != parent.model_id
    lineage = tuned.manifest.lineage
    assert lineage["finetuned_from"]["model_id"] == parent.model_id
    assert lineage["parent"]["recipe"] == "mulan tiny"
    # Half-precision storage moves a text by less than a thousandth; the tower itself stays.
    texts = ["low sound", "a noise"]
    np.testing.assert_allclose(tuned.embed_text(texts), parent.embed_text(texts), atol=2e-3)
    assert len(tuned.reference) > 10
    # What serves is what was judged.
    wave = sound("low", 2.0, seed=99).astype(np.float32)[None]
    network = load_tuned(run, open_parent(str(bundle)))
    with torch.no_grad():
        judged = network(torch.from_numpy(wave)).numpy()
    assert float((tuned.embed_clips(wave) * judged).sum()) > 0.999

    again = CliRunner().invoke(train_app, command)
    assert again.exit_code == 2
    assert "already holds a run" in " ".join(again.output.split())
    more = [*command, "--resume", *options("optimiser.updates=26")]
    assert CliRunner().invoke(train_app, more).exit_code == 0
    assert json.loads((run / "finetuning.json").read_text())["updates"] == 26


def test_labels_that_lie_apart_are_learned(bundle: Path, library: Path, tmp_path: Path) -> None:
    order = FinetuneOrder(library, str(bundle), tmp_path / "run", library / "tags.csv")
    _prepare(dataclasses.replace(order, processes=1))
    plain = ["data.phases.0.crop_s=2", "data.phases.0.batch_size=8", "keep_weight=0",
             "caption_weight=0"]  # fmt: skip
    recipe = override(default_recipe(order), plain)
    task = FinetuneTask(recipe, open_training_data(recipe.data), open_parent(str(bundle)))
    # The tiny encoder puts all words into one place; a real one does not.
    task.prompts = {"mood": torch.eye(8)[: len(task.labels["mood"])]}
    optimiser = torch.optim.Adam((p for p in task.module.parameters() if p.requires_grad), lr=0.01)
    losses = []
    for position in range(40):
        task.module.train()
        optimiser.zero_grad()
        result = task.loss(task.batch(position))
        result.loss.backward()
        optimiser.step()
        losses.append(float(result.metrics["label_loss"]))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_frozen_layers_and_batch_norms_stay(bundle: Path, library: Path, tmp_path: Path) -> None:
    order = FinetuneOrder(library, str(bundle), tmp_path / "run", library / "tags.csv")
    _prepare(dataclasses.replace(order, processes=1))
    small = ["data.phases.0.crop_s=2", "data.phases.0.batch_size=4", "layers=0"]
    recipe = override(default_recipe(order), small)
    task = FinetuneTask(recipe, open_training_data(recipe.data), open_parent(str(bundle)))
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    trained = {name for name, p in task.module.named_parameters() if p.requires_grad}
    assert trained == {f"tower.{part}.{kind}" for part in ("projection", "to_embedding")
                       for kind in ("weight", "bias")}  # fmt: skip
    # Without dropout the tower says what the original says.
    task.module.eval()
    assert float(task.loss(task.batch(0)).metrics["keep"]) == pytest.approx(0.0, abs=1e-5)
    task.module.train()
    optimiser = torch.optim.SGD((p for p in task.module.parameters() if p.requires_grad), lr=1.0)
    result = task.loss(task.batch(0))
    result.loss.backward()
    optimiser.step()
    for name, value in task.module.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in trained), name
    task.module.eval()
    assert float(task.loss(task.batch(0)).metrics["keep"]) > 1e-4

    # The whole tower, or its last layer and what is behind it.
    whole = TunedTower(open_parent(str(bundle)).network().audio, layers=-1)
    open_ones = {n for n, p in whole.named_parameters() if p.requires_grad}
    assert any("stem" in name for name in open_ones)
    last = TunedTower(open_parent(str(bundle)).network().audio, layers=1)
    open_ones = {n for n, p in last.named_parameters() if p.requires_grad}
    assert any("conformer.layers.0" in name for name in open_ones)
    assert not any("stem" in name or "head" in name for name in open_ones)


def test_judging_uses_the_same_vectors_as_evaluation(bundle: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", sound("low", 12.0, 1))
    track = make_entry(tmp_path / "a.wav", "low", "test")
    from models.training.mel_cache import build_mel_cache

    build_mel_cache([track], tmp_path, tmp_path / "mels")
    parent = open_parent(str(bundle))
    vector = embed_tracks(_Tower(parent.network().audio), MelCache(tmp_path / "mels"), [track])[0]
    assert vector.shape == (8,)
    assert 0.5 < float(np.linalg.norm(vector)) <= 1.0 + 1e-5


@pytest.mark.parametrize("root", golden_roots(), ids=lambda root: root.name)
def test_a_published_model_is_tuned_too(
    root: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random towers may put all texts into one place, which is what the self-tests refuse.
    monkeypatch.setattr("models.bundle.published_bundle.run_self_test", lambda *_, **__: None)
    monkeypatch.setattr("models.bundle.self_test.MAX_TEXT_COSINE", 1.01)
    copied = Path(shutil.copytree(root, tmp_path / "golden"))
    name = json.loads((copied / "muq-mulan" / "config.json").read_text())["text_model"]["name"]
    write_tokenizer(copied / Path(name).name)
    few = ["optimiser.updates=2", "optimiser.warmup_updates=0", "data.phases.0.until_update=2",
           "data.phases.0.batch_size=4", "data.phases.0.crop_s=3", "loop.validate_every=1",
           "layers=0", "loop.threads=1"]  # fmt: skip
    order = FinetuneOrder(
        library, str(copied / "muq-mulan"), tmp_path / "run", library / "tags.csv",
        settings=tuple(few), processes=1,
    )  # fmt: skip
    report = finetune(order)
    assert report.updates == 2
    export_finetuned(tmp_path / "run", tmp_path / "tuned", "tuned", licence="CC0-1.0")
    tuned = models.load_bundle(tmp_path / "tuned", device="cpu")
    assert tuned.max_text_tokens == open_parent(order.bundle).encoder.max_text_tokens
    assert tuned.licence == "CC0-1.0"
