"""The whole chain to a bundle with one command, on a corpus that is made in a second."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

import models
from models.bundle.disk import read_manifest as read_bundle
from models.bundle.loading import BUNDLES_FOLDER, DEFAULT_BUNDLE
from models.bundle.verifying import verify_bundle
from models.checksum import file_sha256
from models.training.bundled import material, stage_runs
from models.training.bundled.card import (
    Material,
    languages_measured,
    results_markdown,
    weaknesses,
)
from models.training.bundled.chain import Step
from models.training.bundled.checks import list_problems
from models.training.bundled.compare import compare_records
from models.training.bundled.costs import Cost, cost_of_run
from models.training.bundled.finishing import shipped_record
from models.training.bundled.recipe import (
    BUNDLED_RECIPES,
    Folders,
    bundled_small,
    list_stage_runs,
    placed,
)
from models.training.bundled.record import read_record
from models.training.bundled.running import plan_lines, read_journal, run_steps
from models.training.cli import train_app
from models.training.countdown import clock, counted
from models.training.manifest import read_manifest, write_manifest
from models.training.mel_cache import build_mel_cache
from models.training.run import Run, RunError, read_json
from models.training.settings import from_json, to_json
from models.training.teacher.label_store import read_labels
from models.training.teacher.released import find_released, pack_labels
from tests.training.tiny_corpus import (
    make_entry,
    make_labels,
    make_tiny_corpus,
    sound,
    write_wav,
)

ROOT = Path(__file__).resolve().parents[2]


def make_corpus(root: Path) -> Path:
    """A corpus folder as recipe `tiny` wants it: manifest, text encoder, labelled sets."""
    torch.set_num_threads(1)
    root.mkdir()
    made = make_tiny_corpus(root, tracks=24)
    shutil.rmtree(made.cache)
    (made.text / "LICENCE.txt").write_text("A licence.")
    folder = root / "eval"
    folder.mkdir()
    entries = []
    for number in range(8):
        kind = ("low", "high")[number % 2]
        path = folder / f"judged-{number}.wav"
        write_wav(path, sound(kind, 10.5, 100 + number))
        entries.append(dataclasses.replace(make_entry(path, kind, "test"), duration_s=10.5))
    write_manifest(folder / "labelled_dev.jsonl", entries[:4])
    write_manifest(folder / "labelled_test.jsonl", entries[4:])
    return root


def arguments(root: Path, *more: str) -> list[str]:
    return ["bundled", str(root / "model"), "--corpus", str(root / "corpus"), "--runs",
            str(root / "runs"), "--recipe", "tiny", "--processes", "1", *more]  # fmt: skip


def call(root: Path, *more: str) -> Result:
    return CliRunner().invoke(train_app, arguments(root, *more))


@pytest.fixture(scope="module", autouse=True)
def _thirty_updates_do() -> Iterator[None]:
    """So short a training need not have pulled unrelated texts apart."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("models.bundle.self_test.MAX_TEXT_COSINE", 1.01)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Everything that one call leaves, and what it printed."""
    root = tmp_path_factory.mktemp("made")
    make_corpus(root / "corpus")
    result = call(root)
    assert result.exit_code == 0, result.output
    return root, result.output


def test_one_command_makes_a_bundle_that_serves(made: tuple[Path, str]) -> None:
    root, output = made
    assert verify_bundle(root / "model").runtimes == ("onnx", "torch")
    encoder = models.load_bundle(root / "model", device="cpu", threads=1)
    assert encoder.embed_text(["low sound"]).shape == (1, 8)
    assert len(encoder.reference) > 10
    names = [folder.name for folder in sorted((root / "runs").iterdir()) if folder.is_dir()]
    assert names == ["mel_rvq-tiny", "mulan-tiny", "mulan-tiny-robust", "muq-tiny"]
    lineage = read_bundle(root / "model").lineage
    assert lineage["recipe"] == "mulan tiny-robust"
    assert [run["stage"] for run in lineage["pretraining"]] == ["mulan", "muq", "mel_rvq"]
    last = root / "runs" / "mulan-tiny-robust"
    assert lineage["checkpoint_sha256"] == file_sha256(Run(last).checkpoint("told"))
    assert lineage["sayings"]["source_sha256"] == file_sha256(Run(last).checkpoint("translated"))
    assert lineage["translations"]["source_sha256"] == file_sha256(Run(last).checkpoint("averaged"))
    assert lineage["averaged"]["earlier_updates"] == 20
    card = (root / "model" / "MODEL_CARD.md").read_text()
    assert "share of 0.25, those of the contrastive stage after 20 updates" in card
    assert f"{lineage['sayings']['texts']} texts that a listener could type" in card
    assert "[4/13] mel_rvq" in output
    assert "done before" in output  # the manifest and the text encoder were given
    report = read_json(root / "model-evaluation" / "report.json")
    assert report["model_id"] == encoder.model_id
    assert (root / "model-evaluation" / "report.png").exists()


def test_its_card_says_how_much_a_teacher_heard(made: tuple[Path, str]) -> None:
    root, _ = made
    report = read_json(root / "model-evaluation" / "report.json")
    entries = read_manifest(root / "corpus" / "manifest.jsonl")
    hour = dataclasses.replace(entries[0], id="hour", duration_s=3600.0)
    render = dataclasses.replace(hour, id="render", source="render: a style")
    taught_s = {"hour": 1800.0, "render": 900.0, "gone": 60.0}
    told = results_markdown(report, Material([], [hour, render], "CC0-1.0", taught_s))
    assert "0.5 of 1.0 hours of recordings" in told
    assert "glossary" in told
    untold = results_markdown(report, Material([], [hour, render], "CC0-1.0", None))
    assert "teacher has heard" not in untold


def test_labels_that_come_with_the_code_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_corpus(tmp_path / "corpus")
    folders = Folders(tmp_path / "m", tmp_path / "corpus", tmp_path / "runs", tmp_path / "e")
    entries = read_manifest(folders.manifest)
    make_labels(tmp_path / "known.npz", entries)
    pack_labels(tmp_path / "released.npz", read_labels(tmp_path / "known.npz"), entries)
    released = partial(find_released, path=tmp_path / "released.npz")
    monkeypatch.setattr(material, "find_released", released)
    said: list[str] = []
    # Were it to hear anything, it would have to fetch the teacher's package.
    material.let_the_teacher_hear(folders, windows=1, processes=1, say=said.append)
    assert said == [f"the labels of {len(entries)} of {len(entries)} tracks come with the code"]
    assert material.teacher_has_heard_all(folders, 1)


def test_runs_are_trained_in_as_many_processes_as_divide_their_batches(tmp_path: Path) -> None:
    make_corpus(tmp_path / "corpus")
    folders = Folders(tmp_path / "m", tmp_path / "corpus", tmp_path / "runs", tmp_path / "e")
    build_mel_cache(read_manifest(folders.manifest), folders.corpus, folders.mels)
    run = list_stage_runs(placed(BUNDLED_RECIPES["tiny"](), "tiny", folders), "tiny", folders)[0]
    assert run.recipe.data.phases[0].batch_size == 4
    stage_runs.train(run, processes=3)  # 4 divides by 2
    assert stage_runs.standing_of(run) == "finished"
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["update"] == run.recipe.optimiser.updates


def test_its_card_holds_what_was_measured(made: tuple[Path, str]) -> None:
    root, _ = made
    report = read_json(root / "model-evaluation" / "report.json")
    table = next(t for t in report["tags"] if (t["set"], t["kind"]) == ("labelled", "genre"))
    value = table["measures"]["roc_auc"]["bundle"]["value"]
    card = (root / "model" / "MODEL_CARD.md").read_text()
    assert f"| labelled real tracks: 8 | genre (2) | ROC-AUC | {value:.3f}" in card
    assert "| mulan | tiny-robust | 4 |" in card
    assert "## Where it fails" in card
    hours = sum(2.0 for _ in range(24)) / 3600
    assert f"{hours:.1f} hours" in card
    record = read_record(root / "model")
    assert record is not None
    assert record["figures"]["labelled: genre, roc_auc"]["value"] == pytest.approx(value, abs=1e-4)
    assert record["data"]["identity"] == read_bundle(root / "model").lineage["environment"][
        "data_identity"
    ]  # fmt: skip


def test_called_again_it_does_nothing_and_says_so(made: tuple[Path, str]) -> None:
    root, _ = made
    before = {path: path.stat().st_mtime_ns for path in (root / "model").iterdir()}
    again = call(root)
    assert again.exit_code == 0, again.output
    assert again.output.count("done before") == 13
    assert {path: path.stat().st_mtime_ns for path in (root / "model").iterdir()} == before
    plan = call(root, "--plan")
    assert plan.output.count(" done") == 13


def test_it_is_held_against_the_shipped_bundle(made: tuple[Path, str]) -> None:
    root, output = made
    assert "data identity: NOT that of the shipped one" in output
    record = read_record(root / "model")
    assert record is not None
    itself = compare_records(record, record)
    assert itself.same_model
    assert itself.same_data
    assert itself.compared == len(record["figures"]) > 5
    assert itself.outside == ()
    other: dict[str, Any] = json.loads(json.dumps(record))
    other["figures"]["labelled: genre, roc_auc"]["value"] = 2.0
    other["sets"]["labelled_dev"] = "other tracks"
    other["data"]["identity"] = "other"
    found = compare_records(record, other)
    assert [figure.name for figure in found.outside] == ["labelled: genre, roc_auc"]
    assert found.not_comparable == sum(
        figure["set"] == "labelled_dev" for figure in record["figures"].values()
    )
    lines = "\n".join(found.lines())
    assert "recordings: the same files" in lines
    assert "above: labelled: genre, roc_auc 2.000" in lines


def test_the_shipped_bundle_carries_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / DEFAULT_BUNDLE).mkdir()  # what is being made may be called the same
    monkeypatch.chdir(tmp_path)
    record = shipped_record()
    assert record is not None, "ship the bundle that `muquery train bundled` writes"
    bundle = read_bundle(BUNDLES_FOLDER / DEFAULT_BUNDLE)
    assert record["model_id"] == bundle.model_id
    assert record["data"]["identity"] == bundle.lineage["environment"]["data_identity"]
    assert "e1: genre, roc_auc" in record["figures"]


def test_other_settings_and_other_data_are_refused(made: tuple[Path, str], tmp_path: Path) -> None:
    root, _ = made
    refused = call(root, "--set", "muq.optimiser.peak_lr=0.5")
    assert refused.exit_code == 2
    assert "optimiser.peak_lr was 0.001 and would be 0.5" in " ".join(refused.output.split())
    assert call(root, "--set", "muq.no_such=1").exit_code == 2
    shutil.copytree(root / "runs", tmp_path / "runs")
    shutil.copytree(root / "corpus", tmp_path / "corpus")
    lines = (tmp_path / "corpus" / "manifest.jsonl").read_text().splitlines()
    (tmp_path / "corpus" / "manifest.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    changed = call(tmp_path)
    assert changed.exit_code == 2
    assert "was trained on other data" in " ".join(changed.output.split())


def test_settings_that_only_say_how_or_where_do_not_count() -> None:
    recipe = to_json(bundled_small().mulan)
    moved = json.loads(json.dumps(recipe))
    moved["loop"]["threads"], moved["data"]["manifest"] = 7, "elsewhere.jsonl"
    assert stage_runs.differing_settings(recipe, moved) == []
    moved["distill"]["labels"] = ""
    moved["loop"]["seed"] = 3
    assert [line.split()[0] for line in stage_runs.differing_settings(recipe, moved)] == [
        "distill.labels", "loop.seed",
    ]  # fmt: skip


def test_tuned_runs_leave_the_test_part_closed(tmp_path: Path) -> None:
    shown = call(tmp_path, "--show")
    assert json.loads(shown.output)["open_test"] is True
    tuned = call(tmp_path, "--show", "--set", "muq.optimiser.updates=3")
    assert json.loads(tuned.output)["open_test"] is False
    insisting = call(tmp_path, "--show", "--set", "open_test=true")
    assert json.loads(insisting.output)["open_test"] is True


@pytest.mark.parametrize("name", BUNDLED_RECIPES)
def test_recipes_are_wired_to_their_folders(name: str, tmp_path: Path) -> None:
    folders = Folders(tmp_path / "m", tmp_path / "c", tmp_path / "r", tmp_path / "e")
    recipe = placed(BUNDLED_RECIPES[name](), name, folders)
    assert from_json(type(recipe), json.loads(json.dumps(to_json(recipe)))) == recipe
    runs = {run.folder.name: str(run.folder) for run in list_stage_runs(recipe, name, folders)}
    assert recipe.muq.rvq_run == runs[f"mel_rvq-{name}"]
    assert recipe.mulan.muq_run == runs[f"muq-{name}"]
    assert (recipe.robust.start_from, recipe.robust.muq_run) == (runs[f"mulan-{name}"], "")
    for stage in (recipe.mel_rvq, recipe.muq, recipe.mulan, recipe.robust):
        assert stage.data.cache == str(tmp_path / "c" / "mels")


@pytest.mark.slow
def test_a_killed_chain_goes_on(made: tuple[Path, str], tmp_path: Path) -> None:
    """kill -9 as soon as a stage has a checkpoint; the weights are those of an unbroken chain."""
    whole, _ = made
    shutil.copytree(whole / "corpus", tmp_path / "corpus")
    code = "import sys; from models.training.cli import train_app; train_app(sys.argv[1:])"
    checkpoint = tmp_path / "runs" / "mulan-tiny" / "checkpoints" / "last.safetensors"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments(tmp_path)], cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(6000):
            if checkpoint.exists() or child.poll() is not None:
                break
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    result = call(tmp_path)
    assert result.exit_code == 0, result.output
    assert "mels: done before" in result.output
    same = [read_bundle(root / "model").model_id for root in (whole, tmp_path)]
    assert same[0] == same[1]


def test_a_run_without_a_checkpoint_begins_again(made: tuple[Path, str], tmp_path: Path) -> None:
    whole, _ = made
    shutil.copytree(whole / "runs" / "mel_rvq-tiny", tmp_path / "runs" / "mel_rvq-tiny")
    folders = Folders(tmp_path / "model", whole / "corpus", tmp_path / "runs", tmp_path / "e")
    recipe = placed(BUNDLED_RECIPES["tiny"](), "tiny", folders)
    run = list_stage_runs(recipe, "tiny", folders)[0]
    assert stage_runs.standing_of(run) == "finished"
    shutil.rmtree(run.folder / "plots")
    assert stage_runs.standing_of(run) == "begun"
    shutil.rmtree(run.folder / "checkpoints")
    assert stage_runs.standing_of(run) == "new"
    stage_runs.train(run)
    assert stage_runs.standing_of(run) == "finished"


def step(name: str, folder: Path, **more: Any) -> Step:
    defaults: dict[str, Any] = {"is_done": lambda: False, "run": lambda _: None}
    return Step(name=name, what=name, folder=folder, **{**defaults, **more})


def test_what_is_missing_is_said_before_anything_begins(tmp_path: Path) -> None:
    ran: list[str] = []
    steps = [
        step("first", tmp_path / "a", run=lambda _: ran.append("first")),
        step("second", tmp_path / "b", programs=("no-such-program-here",),
             files=(tmp_path / "FluidR3_GM.sf2",), cost=Cost(60, 900)),
    ]  # fmt: skip
    with pytest.raises(KeyError):
        list_problems(steps)  # a program whose package nobody wrote down
    steps[1] = dataclasses.replace(steps[1], programs=())
    problems = list_problems(steps, {tmp_path / "b": 10**9 - 20_000_000})
    assert problems == [
        f"{tmp_path / 'FluidR3_GM.sf2'} is missing: Debian package fluid-soundfont-gm",
        f"{tmp_path}: 1.0 GB are needed, 1.0 GB are free",
    ]
    assert len(list_problems(steps, {tmp_path / "b": 10**9})) == 1
    assert ran == []


def test_a_step_that_leaves_nothing_stops_the_chain(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(RunError, match="what it makes is not there"):
        run_steps([step("idle", tmp_path)], tmp_path / "journal.jsonl", said.append)
    done: list[bool] = []
    real = step("real", tmp_path, is_done=lambda: bool(done), run=lambda _: done.append(True),
                cost=Cost(3600, 2500, 1000))  # fmt: skip
    assert list(plan_lines([real], [False]))[-1] == (
        "1 steps to do: about 1:00:00 on one core, 2.5 GB of disk, 1.0 GB of downloads"
    )
    run_steps([real], tmp_path / "journal.jsonl", said.append)
    assert list(read_journal(tmp_path / "journal.jsonl")) == ["real"]


def test_costs_follow_the_recipe(tmp_path: Path) -> None:
    folders = Folders(tmp_path, tmp_path, tmp_path, tmp_path)
    runs = list_stage_runs(bundled_small(), "small", folders)
    muq = cost_of_run("muq", runs[1])
    assert muq.seconds == pytest.approx(300 * 48 * 3.0 / 129.0)
    short = dataclasses.replace(
        runs[1].recipe, optimiser=dataclasses.replace(runs[1].recipe.optimiser, updates=150)
    )
    halved = cost_of_run("muq", dataclasses.replace(runs[1], recipe=short))
    assert halved.seconds == pytest.approx(muq.seconds / 2)


def test_languages_and_weaknesses_follow_the_figures() -> None:
    def table(low: float, name: str = "e1") -> dict[str, Any]:
        figure = {"value": 0.7, "low": low, "high": 0.9, "chance": 0.5}
        measures = {"roc_auc": {"bundle": figure, "teacher": None, "difference": None}}
        labels = [{"label": "polka", "roc_auc": 0.41}, {"label": "rock", "roc_auc": 0.9}]
        return {"set": name, "kind": "genre", "measures": measures, "labels": labels,
                "roc_auc_by_group": None, "tracks": 9}  # fmt: skip

    report: dict[str, Any] = {
        "languages": {
            "e1": {"en": table(0.6), "fr": table(0.6), "ja": table(0.45)},
            "labelled": {"en": table(0.6), "fr": table(0.4)},
        },
        "tags": [table(0.45)],
        "queries": [],
        "confusion": None,
    }
    assert languages_measured(report) == ("en",)
    assert list(weaknesses(report)) == [
        "Not shown to beat chance: E1, real recordings, genre, ROC-AUC 0.700 [0.450, 0.900].",
        "Hardly heard, E1, real recordings, genre (ROC-AUC): polka 0.41.",
    ]


def test_counting_says_what_is_left() -> None:
    said: list[str] = []
    assert list(counted("abc", 3, "letters", said.append, every_s=0.0)) == list("abc")
    assert said[-1].startswith("letters: 3 of 3, ")
    assert said[-1].endswith("ETA 0:00:00")
    assert len(said) == 3
    assert clock(3725.4) == "1:02:05"
