"""The comparison of targets: its plan, its probe, and a run of seconds from end to end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.ablation.__main__ import main
from models.training.ablation.plan import CELLS, Sizes, plan_cell
from models.training.ablation.probe import Concordance, probe
from models.training.metrics import roc_auc
from models.training.muq import MuqRecipe
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tracks=16)


def test_cells_share_their_runs_and_differ_in_one_thing(tmp_path: Path) -> None:
    sizes = Sizes("small", 10, 20, 5, 5)
    cells = {name: plan_cell(name, 3, sizes, tmp_path) for name in CELLS}
    muqs: dict[str, MuqRecipe] = {
        name: cell.steps[-1].recipe for name, cell in cells.items() if not name.startswith("mulan")
    }
    assert {muqs[f"rvq{n}"].muq.target_codebooks for n in (1, 4, 8)} == {1, 4, 8}
    assert muqs["random"].random_projection is not None
    assert muqs["random"].random_projection.codebook_size == 8192
    vq = muqs["vq"].muq.rvq
    assert vq is not None
    assert (vq.codebooks, vq.codebook_dim) == (1, 8)
    for name, recipe in muqs.items():
        assert recipe.loop.seed == 3
        assert recipe.optimiser.updates == {"untrained": 1, "rvq8_long": 40}.get(name, 20)
        assert recipe.data.phases[-1].until_update == recipe.optimiser.updates
    assert cells["rvq8_iter"].steps[:2] == cells["rvq8"].steps
    assert cells["rvq8_iter"].steps[3].recipe.label_folder.endswith("rvq8_iter/relabel/labels")
    narrow = dataclasses.replace(sizes, muq_settings=("muq.conformer.width=96",))
    relabel = plan_cell("rvq8_iter", 3, narrow, tmp_path).steps[2]
    assert relabel.recipe.rvq.input_dim == 96
    start = cells["mulan_rvq8"].steps
    assert start[:2] == cells["rvq8"].steps
    assert start[-1].recipe.muq_run == str(cells["rvq8"].steps[-1].folder)
    scratch = cells["mulan_scratch"].steps
    assert len(scratch) == 1
    assert scratch[0].recipe.network.muq == start[-1].recipe.network.muq
    with pytest.raises(ValueError, match="no cell 'rvq9'"):
        plan_cell("rvq9", 1, sizes, tmp_path)


def test_a_probe_finds_what_is_linear() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 30))
    truth = np.stack([features[:, 0] > 0, features[:, 1] > 0.5], axis=1)
    groups = [str(i // 3) for i in range(60)]
    found = probe(features, truth, groups)
    assert found.roc_auc(np.arange(60)) > 0.75
    # Pairs are only of a carrier with another, and the two come from one fold.
    assert not found.asked[0][~truth[:, 0]].any()
    assert not found.asked[0][:, truth[:, 0]].any()
    assert (found.wins <= found.asked).all()
    assert np.isnan(found.roc_auc(np.flatnonzero(truth.all(axis=1))))
    with pytest.raises(ValueError, match="3 groups"):
        probe(features, truth, ["one"] * 30 + ["two"] * 30)


def test_concordance_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(2)
    truth, scores = rng.random((20, 1)) < 0.4, rng.integers(0, 6, (20, 1)).astype(float)
    ahead = (np.sign(scores - scores.T) + 1) / 2
    pairs = (truth & ~truth.T).astype(float)
    compared = Concordance((ahead * pairs)[None], pairs[None])
    drawn = rng.integers(0, 20, 30)
    expected = roc_auc(scores[drawn, 0], truth[drawn, 0])
    assert compared.roc_auc(drawn) == pytest.approx(expected)


@pytest.mark.parametrize(("groups", "each", "every"), [(8, 5, 4), (30, 3, 5)])
def test_a_probe_that_knows_nothing_is_at_chance(groups: int, each: int, every: int) -> None:
    """Few groups, each of one label: scores pooled over folds were at .2 to .3 here."""
    rng = np.random.default_rng(1)
    names = [str(i // each) for i in range(groups * each)]
    truth = np.array([[int(name) % every == 0] for name in names])
    found = [
        probe(rng.normal(size=(len(names), 200)), truth, names).roc_auc(np.arange(len(names)))
        for _ in range(12)
    ]
    assert np.nanmean(found) == pytest.approx(0.5, abs=0.08)


# One cell for each kind of step; the others differ in numbers only, and cost the suite a minute.
FEW = ("untrained", "random", "rvq8_iter", "mulan_scratch")


@pytest.mark.parametrize(
    "names", [FEW, pytest.param(tuple(CELLS), marks=pytest.mark.slow, id="all")]
)
def test_cells_run_in_seconds_and_are_not_run_twice(
    names: tuple[str, ...],
    corpus: TinyCorpus,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = [
        str(out), "--judge", f"{corpus.manifest}:{corpus.cache}", "--seeds", "1", "--recipe",
        "tiny", "--rvq-updates", "3", "--muq-updates", "3", "--relabel-updates", "3",
        "--mulan-updates", "3",
    ]  # fmt: skip
    for setting in corpus.data_settings:
        arguments += ["--set", setting]
    arguments += ["--mulan-set", f"text_folder={corpus.text}"]
    main([*arguments, "--cells", "untrained"])
    first = (out / "figures.jsonl").read_text()
    arguments += ["--cells", ",".join(names)]
    main(arguments)
    figures = [json.loads(line) for line in (out / "figures.jsonl").read_text().splitlines()]
    assert {figure["cell"] for figure in figures} == set(names)
    assert (out / "figures.jsonl").read_text().startswith(first)
    measures = {figure["measure"] for figure in figures}
    assert any(m.startswith("probe manifest genre (") for m in measures)
    assert "zero-shot manifest genre ROC-AUC" in measures
    table = (out / "table.md").read_text()
    assert all(f"| {cell} | 1 |" in table for cell in names)
    assert table in capsys.readouterr().out
    assert (out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    log = out / "seed-1" / "rvq8" / "muq" / "metrics.jsonl"
    modified = log.stat().st_mtime_ns
    main(arguments)
    assert log.stat().st_mtime_ns == modified
    # A judge that comes later hears the runs that there are, and the others do not again.
    later = corpus.manifest.with_name("later.jsonl")
    later.write_bytes(corpus.manifest.read_bytes())
    main([*arguments, "--judge", f"{later}:{corpus.cache}"])
    lines = (out / "figures.jsonl").read_text().splitlines()
    assert len(lines) == 2 * len(figures)
    assert all("later" in line for line in lines[len(figures) :])
    assert log.stat().st_mtime_ns == modified
    with pytest.raises(ValueError, match="other sizes"):
        main([*arguments, "--muq-updates", "4"])


def test_costs_are_estimated(corpus: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [word for s in corpus.data_settings for word in ("--set", s)]
    main(["nowhere", "--recipe", "tiny", "--cells", "rvq1,rvq8_iter", "--estimate", "1",
          "--muq-updates", "10", *settings])  # fmt: skip
    shown = capsys.readouterr().out
    assert "rvq1: mel_rvq" in shown
    assert "CPU minutes a seed" in shown
