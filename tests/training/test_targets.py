"""What MuQ predicts: random projection, single VQ and stored labels behind one interface."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.config import ConfigError
from models.networks.mel_rvq import fold_frames
from models.networks.muq import MuQ
from models.networks.random_projection import RandomProjectionConfig, RandomProjectionQuantizer
from models.training.data import Crops
from models.training.labels import LabelSettings, LabelStore, LabelWriter
from models.training.mel_rvq import train_mel_rvq
from models.training.muq import train_muq
from models.training.recipes import mel_rvq_tiny, muq_tiny, muq_tiny_random
from models.training.settings import SettingError, override
from models.training.targets import LabelTarget, open_target
from tests.training.tiny_corpus import TinyCorpus, make_tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    torch.set_num_threads(1)
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def test_a_random_projection_takes_the_nearest_direction() -> None:
    config = RandomProjectionConfig(input_dim=6, codebooks=2, codebook_size=5, codebook_dim=3)
    quantizer = RandomProjectionQuantizer(config)
    frames = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    codes = quantizer.encode(frames)
    assert codes.shape == (2, 2, 4)
    for clip, book, step in np.ndindex(2, 2, 4):
        latent = frames[clip, :, step] @ quantizer.projections[book]
        distances = (latent / latent.norm() - quantizer.codes[book]).norm(dim=1)
        assert codes[clip, book, step] == distances.argmin()
    assert not quantizer.state_dict()
    # Global scaling only: twice as loud a frame has the same code, another seed other codes.
    assert torch.equal(quantizer.encode(2 * frames), codes)
    other = RandomProjectionQuantizer(dataclasses.replace(config, seed=1))
    assert not torch.equal(other.encode(frames), codes)


def test_the_projection_is_drawn_as_published() -> None:
    quantizer = RandomProjectionQuantizer(RandomProjectionConfig())
    assert quantizer.codes.shape == (1, 8192, 16)
    torch.testing.assert_close(quantizer.codes.norm(dim=-1), torch.ones(1, 8192))
    # Xavier: the variance is 2 / (inputs + outputs).
    assert float(quantizer.projections.std()) == pytest.approx((2 / 528) ** 0.5, rel=0.05)


def test_muq_trains_on_a_random_projection(corpus: TinyCorpus, tmp_path: Path) -> None:
    recipe = override(muq_tiny_random(), corpus.data_settings)
    train_muq(recipe, tmp_path / "run", "tiny_random", resume=False)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["kind"] == "valid"
    assert 0 < last["loss"] < np.log(32) + 1
    assert "book_accuracy.0" in last
    assert "book_accuracy.1" not in last


def test_muq_trains_on_a_single_vq(corpus: TinyCorpus, tmp_path: Path) -> None:
    single = override(mel_rvq_tiny(), [*corpus.data_settings, "rvq.codebooks=1"])
    train_mel_rvq(single, tmp_path / "vq", "tiny", resume=False)
    settings = [
        *corpus.data_settings, f"rvq_run={tmp_path / 'vq'}", "muq.rvq.codebooks=1",
        "muq.target_codebooks=1", "muq.head_dim=32",
    ]  # fmt: skip
    train_muq(override(muq_tiny(), settings), tmp_path / "muq", "tiny", resume=False)
    assert (tmp_path / "vq" / "plots" / "code_use.png").exists()
    assert (tmp_path / "muq" / "checkpoints" / "best.safetensors").exists()


def test_labels_are_read_on_their_grid_and_as_many_books_as_the_head_has(tmp_path: Path) -> None:
    writer = LabelWriter(tmp_path, LabelSettings(3, 32, 4, "made"))
    codes = np.arange(30).reshape(10, 3)
    writer.add("a" * 64, codes)
    target = LabelTarget(LabelStore(tmp_path), dataclasses.replace(muq_tiny().muq, rvq=None))
    placed = target.place(["a" * 64], Crops(np.array([0]), np.array([6]), 8))
    assert placed.crops.starts.tolist() == [4]
    assert placed.stored is not None
    assert placed.stored[0].tolist() == [[3, 6], [4, 7]]
    assert target.covers("a" * 64)
    assert not target.covers("b" * 64)
    torch.testing.assert_close(target.codes(torch.zeros(1, 128, 8), placed.stored), placed.stored)


def test_a_head_must_fit_its_target(tmp_path: Path) -> None:
    network = MuQ(dataclasses.replace(muq_tiny().muq, rvq=None))
    with pytest.raises(ConfigError, match="cannot predict 1 of 8192"):
        open_target(network, "", RandomProjectionConfig(), "")
    LabelWriter(tmp_path, LabelSettings(2, 64, 4, "made")).add("a" * 64, np.zeros((3, 2), int))
    with pytest.raises(ConfigError, match="cannot predict 2 of 64"):
        open_target(network, "", None, str(tmp_path))
    with pytest.raises(ConfigError, match="nothing to predict"):
        open_target(network, "", None, "")


def test_computed_targets_are_those_of_the_clean_mel() -> None:
    network = MuQ(muq_tiny().muq)
    assert network.rvq is not None
    mels = torch.randn(2, 128, 40, generator=torch.Generator().manual_seed(0))
    target = open_target(network, "", None, "")
    assert torch.equal(target.codes(mels, None), network.rvq.encode(fold_frames(mels)))
    assert not any(parameter.requires_grad for parameter in network.rvq.parameters())


def test_a_recipe_has_exactly_one_target() -> None:
    with pytest.raises(ValueError, match="one target"):
        override(muq_tiny(), ["random_projection=default"])
    with pytest.raises(ValueError, match="one target"):
        override(muq_tiny(), ["muq.rvq=none"])
    swapped = override(muq_tiny(), ["muq.rvq=none", "random_projection=default"])
    assert swapped.random_projection == RandomProjectionConfig()
    with pytest.raises(SettingError, match="no field"):
        override(swapped, ["random_projection.books=2"])
