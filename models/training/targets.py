"""What MuQ learns to predict: one interface, whatever the codes come from.

Legend: B batch, M mel bins, F frames, S tokens, Q codebooks, K codes per codebook.

A trained quantizer (Mel-RVQ; with one codebook a single VQ) and a random projection make codes
of the clean mel when they are asked. Labels were made before, of a former iteration's states or
of anything else, and are read where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from models.networks.config import ConfigError, MuQConfig
from models.networks.mel_rvq import fold_frames
from models.networks.muq import MuQ
from models.networks.random_projection import RandomProjectionConfig, RandomProjectionQuantizer
from models.training.data import Crops
from models.training.labels import LabelStore
from models.training.mel_rvq import load_mel_rvq


@dataclass(frozen=True)
class PlacedCrops:
    """Crops where a target has codes, and the codes [B, Q, S] themselves where they are stored."""

    crops: Crops
    stored: Tensor | None


class Target(Protocol):
    """A source of codes for masked prediction."""

    def place(self, files: Sequence[str], crops: Crops) -> PlacedCrops:
        """Move crops of these files (by sha256) to where codes exist."""
        ...

    def covers(self, sha256: str) -> bool:
        """Whether a file has codes at all."""
        ...

    def codes(self, mels: Tensor, stored: Tensor | None) -> Tensor:
        """Codes [B, Q, S] of clean mels [B, M, F]."""
        ...


class _Computed:
    """Codes of the mel itself: every place of every file has them."""

    def place(self, files: Sequence[str], crops: Crops) -> PlacedCrops:
        return PlacedCrops(crops, None)

    def covers(self, sha256: str) -> bool:
        return True


class QuantizerTarget(_Computed):
    """The frozen quantizer that the network carries with it, as published."""

    def __init__(self, muq: MuQ) -> None:
        self._muq = muq

    def codes(self, mels: Tensor, stored: Tensor | None) -> Tensor:
        return self._muq.target_codes(mels)


class RandomProjectionTarget(_Computed):
    """A random projection, for comparison; `config` and the network's head must agree."""

    def __init__(self, config: RandomProjectionConfig, muq: MuQConfig) -> None:
        _check_head(muq, config.codebooks, config.codebook_size)
        self._quantizer = RandomProjectionQuantizer(config)
        self._frames_per_token = muq.frames_per_token

    def codes(self, mels: Tensor, stored: Tensor | None) -> Tensor:
        quantizer = self._quantizer.to(mels.device)
        return quantizer.encode(fold_frames(mels, self._frames_per_token))


class LabelTarget:
    """Labels on disk, as stage relabel writes them; crops start on their grid of tokens."""

    def __init__(self, store: LabelStore, muq: MuQConfig) -> None:
        settings = store.settings
        _check_head(muq, settings.codebooks, settings.codebook_size, more=True)
        if settings.frames_per_token != muq.frames_per_token:
            raise ConfigError(f"{store.folder} holds labels at another rate than the network's")
        self._store, self._books = store, muq.target_codebooks

    def place(self, files: Sequence[str], crops: Crops) -> PlacedCrops:
        starts = crops.starts - crops.starts % self._store.frames_per_token
        stored = self._store.read(files, starts, crops.frames)[:, : self._books]
        return PlacedCrops(Crops(crops.tracks, starts, crops.frames), stored)

    def covers(self, sha256: str) -> bool:
        return sha256 in self._store

    def codes(self, mels: Tensor, stored: Tensor | None) -> Tensor:
        assert stored is not None
        return stored.to(mels.device)


def open_target(
    muq: MuQ, rvq_run: str, random_projection: RandomProjectionConfig | None, label_folder: str
) -> Target:
    """Open the one target that a recipe names; a quantizer's weights go into the network.

    Raises ConfigError where the network's head cannot predict its codes.
    """
    if label_folder:
        return LabelTarget(LabelStore(Path(label_folder)), muq.config)
    if random_projection is not None:
        return RandomProjectionTarget(random_projection, muq.config)
    if muq.rvq is None:
        raise ConfigError("there is nothing to predict: no quantizer, projection or labels")
    if rvq_run:
        muq.rvq.load_state_dict(load_mel_rvq(Path(rvq_run)).state_dict())
    muq.rvq.requires_grad_(False)
    return QuantizerTarget(muq)


def _check_head(muq: MuQConfig, books: int, codes: int, more: bool = False) -> None:
    fits = books == muq.target_codebooks or (more and books > muq.target_codebooks)
    if not fits or muq.head_dim != muq.target_codebooks * codes:
        raise ConfigError(
            f"a head of {muq.head_dim} for {muq.target_codebooks} codebooks cannot predict "
            f"{books} of {codes} codes: set muq.target_codebooks and muq.head_dim"
        )


def as_float32(mels: Tensor, target: Target, stored: Tensor | None) -> Tensor:
    """Codes computed outside of autocast: those of a rounded projection would be other codes."""
    with torch.autocast(mels.device.type, enabled=False):
        return target.codes(mels, stored)
