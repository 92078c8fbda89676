"""Every stage of the chain with its tiny recipe: it runs, it learns, it resumes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from models.losses import ContrastiveLoss, softmax_contrast
from models.networks.config import ContrastiveKind
from models.networks.mel_rvq import MelRVQ
from models.training import mel_rvq, mulan, muq
from models.training.checkpoint import load_module
from models.training.cli import train_app
from models.training.data import open_training_data
from models.training.labels import LabelSettings, LabelStore
from models.training.loop import Trainer
from models.training.mel_rvq import code_use, load_mel_rvq, train_mel_rvq
from models.training.mulan import MulanTask, contrast, load_trained_mulan, train_mulan
from models.training.muq import load_muq, train_muq
from models.training.recipes import RECIPES, mel_rvq_tiny, mulan_tiny, muq_tiny, relabel_tiny
from models.training.relabel import label_corpus, layer_states, train_relabel
from models.training.run import Run, RunError
from models.training.settings import override
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def rvq_run(corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mel_rvq"
    train_mel_rvq(override(mel_rvq_tiny(), corpus.data_settings), folder, "tiny", resume=False)
    return folder


@pytest.fixture(scope="module")
def muq_run(corpus: TinyCorpus, rvq_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "muq"
    recipe = override(muq_tiny(), [*corpus.data_settings, f"rvq_run={rvq_run}"])
    train_muq(recipe, folder, "tiny", resume=False)
    return folder


def mulan_recipe(corpus: TinyCorpus, *settings: str) -> mulan.MulanRecipe:
    return override(mulan_tiny(), [*corpus.data_settings, f"text_folder={corpus.text}", *settings])


def metrics(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_mel_rvq_learns_to_reconstruct(rvq_run: Path) -> None:
    valid = metrics(rvq_run, "valid")
    assert valid[-1]["reconstruction"] < valid[0]["reconstruction"]
    assert 1.0 <= valid[-1]["perplexity.0"] <= 32.0
    assert (rvq_run / "plots" / "perplexity.png").exists()
    rvq = load_mel_rvq(rvq_run)
    assert isinstance(rvq, MelRVQ)
    assert not rvq.training
    assert (rvq_run / "plots" / "code_use.png").exists()


def test_code_use_counts() -> None:
    even = torch.arange(8).reshape(1, 1, 8)
    assert code_use(even, 16)[0].perplexity == pytest.approx(8.0)
    assert code_use(even, 16)[0].dead == 8


def test_muq_predicts_the_frozen_codes_of_its_quantizer(muq_run: Path, rvq_run: Path) -> None:
    trained, quantizer = load_muq(muq_run), load_mel_rvq(rvq_run)
    assert trained.rvq is not None
    for name, value in quantizer.state_dict().items():
        assert torch.equal(trained.rvq.state_dict()[name], value), name
    # Chance is the logarithm of 32 codes; training must have moved towards it or below.
    assert metrics(muq_run, "train")[-1]["loss"] < np.log(32) + 0.5
    assert {"accuracy", "book_accuracy.1"} <= set(metrics(muq_run, "valid")[-1])


Stage = tuple[Callable[..., Any], Any, str]


def stages(corpus: TinyCorpus, rvq_run: Path, muq_run: Path) -> dict[str, Stage]:
    return {
        "mel_rvq": (train_mel_rvq, override(mel_rvq_tiny(), corpus.data_settings), "rvq"),
        "muq": (
            train_muq,
            override(muq_tiny(), [*corpus.data_settings, f"rvq_run={rvq_run}"]),
            "muq",
        ),
        "mulan": (
            train_mulan,
            mulan_recipe(
                corpus, f"muq_run={muq_run}", f"distill.labels={corpus.labels}",
                "data.augment.gain_db=10", "data.augment.time_masks=1",
            ),
            "mulan",
        ),
    }  # fmt: skip


TASKS = {"mel_rvq": mel_rvq.MelRvqTask, "muq": muq.MuqTask, "mulan": mulan.MulanTask}


@pytest.mark.parametrize("stage", ["mel_rvq", "muq", "mulan"])
def test_resumed_stage_equals_the_uninterrupted_one(
    stage: str, corpus: TinyCorpus, rvq_run: Path, muq_run: Path, tmp_path: Path
) -> None:
    train, recipe, _ = stages(corpus, rvq_run, muq_run)[stage]
    train(recipe, tmp_path / "whole", "tiny", resume=False)

    data = open_training_data(recipe.data)
    run = Run.open(tmp_path / "parts", stage, "tiny", recipe, data.identity, resume=False)
    half = recipe.optimiser.updates // 2
    Trainer(TASKS[stage](recipe, data), run, recipe.optimiser, recipe.loop).train(stop_after=half)
    torch.manual_seed(12345)
    train(recipe, tmp_path / "parts", "tiny", resume=True)

    timeless = [
        [{k: v for k, v in line.items() if k != "audio_hours_per_s"} for line in lines]
        for lines in (metrics(tmp_path / "whole", "train"), metrics(tmp_path / "parts", "train"))
    ]
    assert timeless[0] == timeless[1]
    assert metrics(tmp_path / "whole", "valid") == metrics(tmp_path / "parts", "valid")


def test_mulan_learns_the_tiny_corpus(corpus: TinyCorpus, tmp_path: Path) -> None:
    recipe = mulan_recipe(
        corpus, f"distill.labels={corpus.labels}", "optimiser.updates=30",
        "optimiser.peak_lr=0.01", "data.phases.0.until_update=30", "data.phases.1.until_update=31",
        "loop.validate_every=30",
    )  # fmt: skip
    train_mulan(recipe, tmp_path / "run", "tiny", resume=False)
    lines = metrics(tmp_path / "run", "train")
    for name in ("contrast", "distill_clips", "distill_tags"):
        assert lines[-1][name] < lines[0][name], name
    assert (tmp_path / "run" / "plots" / "similarity.png").exists()

    trained = load_trained_mulan(tmp_path / "run")
    tokens = trained.reader.tokenizer.encode(["low sound", "a noise"])
    ids, mask = torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask)
    vectors = trained.network.text_embedding(ids, mask)
    # The real encoder behind the tower gives what the table gave in training.
    task = MulanTask(dataclasses.replace(recipe, start_from=str(tmp_path / "run")),
                     open_training_data(recipe.data))  # fmt: skip
    task.module.eval()
    with torch.no_grad():
        looked_up = task.embed_texts(np.array([task.table.index("low sound")]))
    torch.testing.assert_close(vectors[:1], looked_up, rtol=1e-4, atol=1e-5)
    clip = trained.network.embed_audio_clips(torch.randn(1, 48_000) * 0.1)
    torch.testing.assert_close(clip.norm(dim=1), torch.ones(1))


def test_an_anchor_keeps_what_was_learned(corpus: TinyCorpus, tmp_path: Path) -> None:
    first = mulan_recipe(corpus)
    train_mulan(first, tmp_path / "first", "tiny", resume=False)
    settings = [f"start_from={tmp_path / 'first'}", "contrast_weight=0", "anchor_weight=1",
                "data.augment.holes_chance=0.5", "data.augment.gain_db=20",
                "optimiser.updates=12", "data.phases.1.until_update=12"]  # fmt: skip
    recipe = override(first, settings)
    train_mulan(recipe, tmp_path / "kept", "tiny", resume=False)
    drifts = [line["drift"] for line in metrics(tmp_path / "kept", "train")]
    assert 0.0 < drifts[-1] < drifts[0]
    task = MulanTask(recipe, open_training_data(recipe.data))
    assert task.anchor is not None
    assert not any("anchor" in name for name, _ in task.module.named_parameters())
    # Unchanged crops, heard by the start itself in evaluation mode, lie where the anchor has them.
    task = MulanTask(override(recipe, ["data.augment.holes_chance=0", "data.augment.gain_db=0"]),
                     open_training_data(recipe.data))  # fmt: skip
    task.module.eval()
    assert float(task.loss(task.batch(0)).metrics["drift"]) == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(ValueError, match="start_from"):
        override(first, ["anchor_weight=1"])


def test_what_is_trained_on_keeps_the_heads_and_scales_of_its_lessons(
    corpus: TinyCorpus, tmp_path: Path
) -> None:
    taught = mulan_recipe(corpus, f"distill.labels={corpus.labels}")
    train_mulan(taught, tmp_path / "first", "tiny", resume=False)
    data = open_training_data(taught.data)
    start = f"start_from={tmp_path / 'first'}"
    learned = MulanTask(override(taught, [start]), data).towers.heads
    fresh = MulanTask(taught, data).towers.heads
    assert learned is not None
    assert fresh is not None
    stored = load_file(tmp_path / "first" / "checkpoints" / "last.safetensors")
    for name, value in learned.state_dict().items():
        torch.testing.assert_close(value, stored[f"model.heads.{name}"], rtol=0, atol=0)
    assert float(learned.log_scale_clips.detach()) != float(fresh.log_scale_clips.detach())
    # A lesson that the first run did not have begins anew.
    train_mulan(mulan_recipe(corpus), tmp_path / "untaught", "tiny", resume=False)
    begun = MulanTask(override(taught, [f"start_from={tmp_path / 'untaught'}"]), data).towers.heads
    assert begun is not None
    assert float(begun.log_scale_clips.detach()) == float(fresh.log_scale_clips.detach())


def test_token_states_train_too(corpus: TinyCorpus, tmp_path: Path) -> None:
    recipe = mulan_recipe(corpus, "text_reading=tokens", "network.contrastive=sigmoid")
    train_mulan(recipe, tmp_path / "run", "tiny", resume=False)
    trained = load_trained_mulan(tmp_path / "run")
    tokens = trained.reader.tokenizer.encode(["low sound"])
    ids, mask = torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask)
    vectors = trained.network.text_embedding(ids, mask)
    task = MulanTask(dataclasses.replace(recipe, start_from=str(tmp_path / "run")),
                     open_training_data(recipe.data))  # fmt: skip
    task.module.eval()
    with torch.no_grad():
        looked_up = task.embed_texts(np.array([task.table.index("low sound")]))
    torch.testing.assert_close(vectors, looked_up, rtol=1e-4, atol=1e-5)


def test_pairs_with_the_same_text_are_no_negatives(corpus: TinyCorpus) -> None:
    task = MulanTask(mulan_recipe(corpus), open_training_data(mulan_recipe(corpus).data))
    loss = task.towers.mulan.contrastive
    audio, text = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    apart = contrast(loss, audio, text, torch.arange(4))
    torch.testing.assert_close(apart, loss(audio, text))
    same = contrast(loss, audio, text, torch.tensor([0, 1, 2, 2]))
    scaled = audio @ text.T * loss.log_temperature.exp()
    scaled[2, 3] = scaled[3, 2] = float("-inf")
    torch.testing.assert_close(same, softmax_contrast(scaled, decoupled=True))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_twins_are_no_negatives_of_other_losses_either(kind: ContrastiveKind) -> None:
    loss = ContrastiveLoss(kind)
    audio, text = (torch.nn.functional.normalize(torch.randn(3, 8), dim=1) for _ in range(2))
    scores = (audio @ text.T * loss.log_temperature.detach().exp()).double()
    if loss.bias is not None:
        scores = scores + float(loss.bias.detach())
    pairs = [(i, j) for i in range(3) for j in range(3) if i == j or {i, j} != {1, 2}]
    expected = 0.0
    for i in range(3):
        if kind == "softmax":
            for rows in (scores, scores.T):
                rivals = [rows[i, j].exp() for j in range(3) if (i, j) in pairs]
                expected += float(0.5 * (sum(rivals).log() - rows[i, i])) / 3  # type: ignore[union-attr]
        else:
            signed = [(1 if i == j else -1) * scores[i, j] for j in range(3) if (i, j) in pairs]
            expected += sum(float(torch.log1p(torch.exp(-s))) for s in signed) / 3
    got = contrast(loss, audio, text, torch.tensor([0, 1, 1]))
    assert float(got.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_run_is_continued_on_the_same_data_only(corpus: TinyCorpus, rvq_run: Path) -> None:
    with pytest.raises(RunError, match="other data"):
        Run.open(rvq_run, "mel_rvq", "tiny", mel_rvq_tiny(), "another hash", resume=True)


def test_every_recipe_is_valid() -> None:
    for recipes in RECIPES.values():
        for make in recipes.values():
            make()


def test_an_iteration_learns_from_the_labels_of_the_one_before(
    corpus: TinyCorpus, muq_run: Path, tmp_path: Path
) -> None:
    recipe = override(relabel_tiny(), [*corpus.data_settings, f"muq_run={muq_run}"])
    train_relabel(recipe, tmp_path / "relabel", "tiny", resume=False)
    for setting in ("layer_index=9", "rvq.input_dim=192"):
        with pytest.raises(ValueError, match=r"layers of width .* rvq.input_dim"):
            train_relabel(override(recipe, [setting]), tmp_path / setting, "tiny", resume=False)
    data, labels = open_training_data(recipe.data), LabelStore(tmp_path / "relabel" / "labels")
    assert all(entry.sha256 in labels for entry in data.entries)

    # Labels are the codes of the network's states, and crops read them where they lie.
    rvq, trained = MelRVQ(recipe.rvq), load_muq(muq_run)
    load_module(tmp_path / "relabel" / "checkpoints" / "last.safetensors", rvq)
    sha256 = data.entries[0].sha256
    mel = torch.from_numpy(data.cache.read(sha256, 0, 100)).T[None]
    codes = rvq.eval().encode(layer_states(trained, mel, recipe.layer_index))
    stored = labels.read([sha256], np.array([0]), 100)
    assert torch.equal(stored, codes)
    assert torch.equal(labels.read([sha256], np.array([40]), 40), codes[:, :, 10:20])

    # A second call adds nothing, and the next iteration runs on what is there.
    settings = LabelSettings(**json.loads((labels.folder / "labels.json").read_text()))
    assert label_corpus(trained, rvq, data, labels.folder, settings, 1, 1.0) == 0
    network = dataclasses.replace(muq_tiny().muq, rvq=None)
    again = dataclasses.replace(
        override(muq_tiny(), corpus.data_settings), muq=network, label_folder=str(labels.folder)
    )
    train_muq(again, tmp_path / "muq2", "tiny", resume=False)
    assert metrics(tmp_path / "muq2", "train")[-1]["loss"] > 0


def test_iterations_follow_one_another_by_command(
    corpus: TinyCorpus, muq_run: Path, tmp_path: Path
) -> None:
    """The chain of docs/training.md, twice: relabel, muq, relabel, muq."""
    runner, before = CliRunner(), muq_run
    data = [word for setting in corpus.data_settings for word in ("--set", setting)]
    for number in (2, 3):
        relabel, after = tmp_path / f"relabel-{number}", tmp_path / f"muq-{number}"
        steps = [
            ["relabel", "--run", str(relabel), "--set", f"muq_run={before}"],
            ["muq", "--run", str(after), "--set", "muq.rvq=none",
             "--set", f"label_folder={relabel / 'labels'}"],
        ]  # fmt: skip
        for step in steps:
            result = runner.invoke(train_app, [*step, "--recipe", "tiny", *data])
            assert result.exit_code == 0, result.output
        # Held-out tracks have labels too, so that the new network is validated on them.
        assert metrics(after, "valid")[-1]["loss"] > 0
        source = json.loads((relabel / "labels" / "labels.json").read_text())["source"]
        assert json.loads(source)["muq_run"] == str(before)
        before = after
    assert load_muq(before).rvq is None
