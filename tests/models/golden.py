"""Where golden data lie, and how far a value may be from them."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models import load_published
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan

TOLERANCE = 1e-4
COMMITTED = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Golden:
    """One folder of checkpoints and the values expected of them."""

    root: Path

    @cached_property
    def expected(self) -> dict[str, Tensor]:
        return load_file(self.root / "expected.safetensors")

    @cached_property
    def muq(self) -> MuQ:
        model = load_published(self.root / "muq")
        assert isinstance(model, MuQ)
        return model

    @cached_property
    def mulan(self) -> MuQMuLan:
        model = load_published(self.root / "muq-mulan")
        assert isinstance(model, MuQMuLan)
        return model

    def __getitem__(self, name: str) -> Tensor:
        """An expected value; the test is skipped where other data lack it, never the committed."""
        if name not in self.expected and self.root.parent != COMMITTED:
            pytest.skip(f"{self.root} has no {name}")
        return self.expected[name]

    def numbered(self, prefix: str) -> list[Tensor]:
        """Expected values `prefix0`, `prefix1` and so on, in order."""
        names = [name for name in self.expected if name.startswith(prefix)]
        assert names
        return [self.expected[name] for name in sorted(names, key=lambda n: int(n[len(prefix) :]))]

    def suffixes(self, prefix: str) -> list[str]:
        return [name.removeprefix(prefix) for name in self.expected if name.startswith(prefix)]


def golden_roots() -> list[Path]:
    """The committed folders, then those outside the repository."""
    return [*_roots_in(COMMITTED), *_roots_in(outside_folder())]


def outside_folder() -> Path:
    """Where golden data that are too large for the repository are looked for."""
    named = os.environ.get("MUQUERY_GOLDEN_DIR")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "golden"


def _roots_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("**/expected.safetensors"))


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    """Shapes equal, all values finite and within `tolerance`."""
    assert actual.shape == expected.shape
    assert torch.isfinite(actual).all()
    assert (actual - expected).abs().max().item() < tolerance
