"""Small networks with random weights, for tests that need no particular values."""

import torch

from models.networks.config import (
    ConformerConfig,
    MelRVQConfig,
    MuQConfig,
    MuQMuLanConfig,
    TextEncoderConfig,
    TransformerConfig,
)
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan


def small_muq_config(label_rate_hz: int = 25) -> MuQConfig:
    return MuQConfig(
        conv_dim=4,
        conformer=ConformerConfig(width=16, layers=2, heads=2, feed_forward=24, depthwise_kernel=5),
        label_rate_hz=label_rate_hz,
        head_dim=3 * 32,
        target_codebooks=3,
        rvq=MelRVQConfig(
            input_dim=128 * (100 // label_rate_hz), codebooks=3, codebook_size=32, codebook_dim=4
        ),
    )


def small_mulan_config() -> MuQMuLanConfig:
    return MuQMuLanConfig(
        muq=small_muq_config(),
        audio_transformer=TransformerConfig(dim=12, depth=1, heads=2, head_dim=4),
        text=TextEncoderConfig(
            vocab_size=50, width=10, layers=2, heads=2, feed_forward=16, max_positions=20
        ),
        text_width=10,
        text_projection=True,
        text_transformer=TransformerConfig(dim=14, depth=2, heads=2, head_dim=4),
        embed_dim=6,
        clip_s=2,
    )


def small_muq(label_rate_hz: int = 25, seed: int = 0) -> MuQ:
    torch.manual_seed(seed)
    return MuQ(small_muq_config(label_rate_hz)).eval()


def small_mulan(seed: int = 0) -> MuQMuLan:
    torch.manual_seed(seed)
    return MuQMuLan(small_mulan_config()).eval()


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1
