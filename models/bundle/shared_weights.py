"""Weights that both runtimes need are kept once: the torch towers take theirs from the ONNX files.

A small model is mostly its token table, and a bundle for both runtimes would hold it twice. Linear
maps lie transposed in an ONNX graph, large weights there may be float16; what was folded into
something else (batch norms and their convolutions) is not found there and stays in safetensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.bundle.manifest import SharedTensor
from models.bundle.onnx_file import read_initializers
from models.errors import BundleFormatError

# Smaller tensors are not worth an entry in the manifest.
SMALLEST_SHARED = 1024


def find_shared(tensors: Mapping[str, Tensor], files: Sequence[Path]) -> dict[str, SharedTensor]:
    """Where each large tensor lies in the ONNX files with exactly the same values."""
    places: dict[str, SharedTensor] = {}
    for path in files:
        for name, values in read_initializers(path).items():
            if values.size >= SMALLEST_SHARED:
                for transposed in (False, True) if values.ndim == 2 else (False,):
                    oriented = values.T if transposed else values
                    places.setdefault(
                        _fingerprint(oriented),
                        SharedTensor(file=path.name, initializer=name, transposed=transposed),
                    )
    found = {}
    for name, tensor in tensors.items():
        place = places.get(_fingerprint(tensor.numpy()))
        if tensor.numel() >= SMALLEST_SHARED and place is not None:
            found[name] = place
    return found


def load_shared(shared: Mapping[str, SharedTensor], folder: Path) -> dict[str, Tensor]:
    """The tensors that `find_shared` named, as torch had them.

    Raises BundleFormatError where an ONNX file has no such weight.
    """
    stored = {name: read_initializers(folder / name) for name in _files(shared.values())}
    tensors = {}
    for name, place in shared.items():
        if place.initializer not in stored[place.file]:
            raise BundleFormatError(f"{place.file} has no weights {place.initializer!r}")
        values = stored[place.file][place.initializer]
        oriented = _widened(values.T if place.transposed else values)
        tensors[name] = torch.from_numpy(np.ascontiguousarray(oriented))
    return tensors


def _files(places: Iterable[SharedTensor]) -> set[str]:
    return {place.file for place in places}


def _widened(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """float16 is a way of storing float32 here; all else is what it says."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _fingerprint(values: NDArray[np.generic]) -> str:
    widened = _widened(values)
    header = f"{widened.dtype.str} {widened.shape} ".encode()
    return hashlib.sha256(header + widened.tobytes()).hexdigest()
