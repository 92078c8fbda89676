from pathlib import Path

import pytest
import torch
from torch import nn

from models.training.averaging import average_checkpoints, is_average_of, read_averaged
from models.training.checkpoint import CheckpointError, TrainState, load_module, save_checkpoint


def test_weights_and_statistics_are_averaged_with_their_shares(tmp_path: Path) -> None:
    earlier = _save(tmp_path / "update-500.safetensors", _network(0), update=500)
    later = _save(tmp_path / "last.safetensors", _network(1), update=800)
    out = tmp_path / "averaged.safetensors"
    assert average_checkpoints(later, earlier, 0.25, out) == 6
    found = _network(2)
    assert load_module(out, found)["update"] == 800
    for name, value in found.state_dict().items():
        before, after = (_network(seed).state_dict()[name] for seed in (0, 1))
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.25 * before + 0.75 * after)
        else:
            assert torch.equal(value, after)


def test_what_only_the_later_run_learned_stays(tmp_path: Path) -> None:
    earlier = _save(tmp_path / "a.safetensors", nn.ModuleDict({"tower": nn.Linear(2, 3)}))
    grown = nn.ModuleDict({"tower": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    later = _save(tmp_path / "b.safetensors", grown)
    assert average_checkpoints(later, earlier, 0.5, tmp_path / "c.safetensors") == 2
    found = nn.ModuleDict({"tower": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    load_module(tmp_path / "c.safetensors", found)
    assert torch.equal(found["head"].weight, grown["head"].weight)  # type: ignore[arg-type]
    assert not torch.equal(found["tower"].weight, grown["tower"].weight)  # type: ignore[arg-type]


def test_an_average_knows_what_it_is_of(tmp_path: Path) -> None:
    earlier = _save(tmp_path / "a.safetensors", _network(0), update=500)
    later = _save(tmp_path / "b.safetensors", _network(1))
    out = tmp_path / "c.safetensors"
    assert not is_average_of(out, later, earlier, 0.35)
    average_checkpoints(later, earlier, 0.35, out)
    facts = read_averaged(out)
    assert facts is not None
    assert (facts["share_of_earlier"], facts["earlier_updates"]) == (0.35, 500)
    assert read_averaged(later) is None
    assert is_average_of(out, later, earlier, 0.35)
    assert not is_average_of(out, later, earlier, 0.3)
    assert not is_average_of(out, earlier, later, 0.35)
    assert not is_average_of(later, later, earlier, 0.35)


def test_what_cannot_be_averaged_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    later = _save(tmp_path / "later.safetensors", nn.Linear(2, 3))
    wider = _save(tmp_path / "wider.safetensors", nn.Linear(2, 4))
    other = _save(tmp_path / "other.safetensors", nn.ModuleDict({"b": nn.Linear(2, 3)}))
    out = tmp_path / "averaged.safetensors"
    with pytest.raises(CheckpointError, match=r"loop\.keep"):
        average_checkpoints(later, tmp_path / "update-500.safetensors", 0.5, out)
    with pytest.raises(CheckpointError, match="different networks"):
        average_checkpoints(later, wider, 0.5, out)
    with pytest.raises(CheckpointError, match="no weights in common"):
        average_checkpoints(later, other, 0.5, out)
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="share"):
            average_checkpoints(later, later, share, out)
    assert not out.exists()


def _network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
    network(torch.randn(8, 4) * (1 + seed))
    return network


def _save(path: Path, network: nn.Module, update: int = 1) -> Path:
    optimiser = torch.optim.Adam(network.parameters())
    save_checkpoint(path, network, optimiser, TrainState(update=update))
    return path
