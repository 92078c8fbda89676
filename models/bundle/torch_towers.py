"""The torch towers: the network itself, on a CPU or a GPU, in float32 or bfloat16.

Legend: N items, T samples, L tokens, E embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from models.bundle.manifest import TorchRuntime
from models.bundle.shared_weights import find_shared, load_shared
from models.bundle.towers import Floats, Ints
from models.errors import BundleFormatError
from models.networks.config import ConfigError, MuQMuLanConfig, config_from_dict, to_dict
from models.networks.muq_mulan import MuQMuLan
from models.text.ngram_encoder import ARCHITECTURE, NgramTextEncoder, NgramTextEncoderConfig
from models.text.pooled_backbone import PooledBackbone

Precision = Literal["fp32", "bf16"]


class TorchTowers:
    """Both towers of a MuQ-MuLan network in evaluation mode; implements `Towers`."""

    def __init__(
        self,
        network: MuQMuLan,
        *,
        device: Literal["cpu", "cuda"],
        precision: Precision,
        threads: int,
    ) -> None:
        """0 threads leaves torch's own choice, which is a setting of the whole process."""
        if threads:
            torch.set_num_threads(threads)
        self._network = network.eval().requires_grad_(False).to(device)
        self._device = device
        self._precision = precision

    @property
    def runtime(self) -> str:
        return "torch"

    @property
    def device(self) -> str:
        return self._device

    @property
    def precision(self) -> str:
        return self._precision

    @property
    def clips_per_run(self) -> int:
        # On a CPU one clip is enough work for all cores, and its vector is exactly its own.
        return 1 if self._device == "cpu" else 16

    def embed_windows(self, samples: Floats) -> Floats:
        with torch.inference_mode(), self._arithmetic():
            return _to_numpy(self._network.audio(self._tensor(samples)))

    def embed_tokens(self, token_ids: Ints, mask: Ints) -> Floats:
        with torch.inference_mode(), self._arithmetic():
            return _to_numpy(self._network.text(self._tensor(token_ids), self._tensor(mask)))

    def _arithmetic(self) -> AbstractContextManager[Any]:
        # Autocast keeps norms and the mel in float32; casting the weights would round the rotary
        # positions and break the audio tower.
        if self._precision == "bf16":
            return torch.autocast(self._device, dtype=torch.bfloat16)
        return nullcontext()

    def _tensor(self, values: Any) -> Tensor:
        # A copy: torch takes neither read-only arrays nor negative strides.
        return torch.from_numpy(np.array(values, order="C")).to(self._device)


def cuda_is_usable() -> bool:
    """Whether this torch was built with CUDA and sees a device."""
    return torch.cuda.is_available()


def pack_network(
    network: MuQMuLan, file_name: str, shared_with: Sequence[Path] = ()
) -> tuple[TorchRuntime, bytes]:
    """What a manifest says about the torch towers, and the weights' safetensors bytes.

    Tensors that the ONNX files of `shared_with` hold to the last bit are left out of the bytes.
    """
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    shared = find_shared(tensors, shared_with)
    runtime = TorchRuntime(
        weights=file_name,
        shared=shared,
        network=to_dict(network.config),
        text_encoder=_describe_text_encoder(network),
    )
    return runtime, save({name: tensors[name] for name in tensors if name not in shared})


def unpack_network(spec: TorchRuntime, folder: Path) -> MuQMuLan:
    """The network that `pack_network` described, its files in `folder` checked, strictly loaded.

    Raises BundleFormatError where configuration and weights do not fit.
    """
    try:
        config = config_from_dict(MuQMuLanConfig, spec.network)
        network = MuQMuLan(config, _make_text_encoder(spec.text_encoder))
        tensors = load_file(folder / spec.weights) | load_shared(spec.shared, folder)
        network.load_state_dict(tensors, strict=True)
    except (ConfigError, TypeError, RuntimeError) as error:
        raise BundleFormatError(
            f"{spec.weights} does not fit its configuration: {error}"
        ) from error
    return network.eval()


def _describe_text_encoder(network: MuQMuLan) -> dict[str, Any] | None:
    """The text encoder's kind and sizes; None where the network's own configuration says it."""
    encoder = network.text.encoder
    if network.config.text is not None:
        return None
    pooled = isinstance(encoder, PooledBackbone)
    inner = encoder.encoder if isinstance(encoder, PooledBackbone) else encoder
    if not isinstance(inner, NgramTextEncoder):
        raise BundleFormatError(f"a bundle cannot hold a text encoder {type(inner).__name__}")
    return {"architecture": ARCHITECTURE, "pooled": pooled, **to_dict(inner.config)}


def _make_text_encoder(described: dict[str, Any] | None) -> nn.Module | None:
    if described is None:
        return None
    sizes = dict(described)
    architecture, pooled = sizes.pop("architecture", None), sizes.pop("pooled", False)
    if architecture != ARCHITECTURE:
        raise BundleFormatError(f"the text encoder {architecture!r} is not known here")
    encoder = NgramTextEncoder(config_from_dict(NgramTextEncoderConfig, sizes))
    return PooledBackbone(encoder) if pooled else encoder


def _to_numpy(vectors: Tensor) -> Floats:
    # bf16 rounds the norm too.
    unit = nn.functional.normalize(vectors.float(), dim=-1)
    result: Floats = unit.cpu().numpy()
    return result
