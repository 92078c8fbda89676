"""Make `tests/data/tiny_bundle`: real towers, tokenizer and ONNX files, but random and tiny.

    python -m tests.support.make_tiny_bundle [OUT_FOLDER [SEED]]

The weights are random, but the last map of each tower is whitened over synthetic clips and over
words, so that different inputs embed apart and texts that share words embed closer. Tests of the
service use it where a fake would hide what a real model does.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from models.audio.mel_numpy import log_mel
from models.bundle.calibration import fit_calibration
from models.bundle.loading import load_bundle
from models.bundle.making import (
    BundleFacts,
    BundleStorage,
    Extras,
    amend_bundle,
    make_bundle,
)
from models.networks.config import (
    ConformerConfig,
    MuQConfig,
    MuQMuLanConfig,
    TransformerConfig,
)
from models.networks.muq_mulan import MuQMuLan
from models.relevance import relevance_scale
from models.text.ngram_encoder import NgramTextEncoder, NgramTextEncoderConfig

TINY_BUNDLE = Path(__file__).parent.parent / "data" / "tiny_bundle"
EMBED_DIM = 32
VOCAB_SIZE = 400
MAX_TOKENS = 64
RATE_HZ = 24_000
CLIP_SAMPLES = 10 * RATE_HZ

_KINDS = ("calm", "sad", "happy", "slow", "fast", "loud", "soft", "dark", "dreamy", "epic")
_THINGS = ("piano", "guitar", "drums", "violin", "choir", "flute", "techno", "metal", "march")
_SUFFIXES = ("", "in a large church", "with a steady beat", "at night")
_CARD = """\
# Tiny test bundle

Random towers for tests. It knows nothing about music; do not judge anything by it.
Made by `python -m tests.support.make_tiny_bundle`. Licence: Apache-2.0.
"""


def make_tiny_network(seed: int = 7) -> MuQMuLan:
    """The towers with random weights, the same ones at every call with a seed."""
    torch.manual_seed(seed)
    width = 32
    layer = TransformerConfig(dim=width, depth=0, heads=2, head_dim=16)
    conformer = ConformerConfig(
        width=width, layers=1, heads=2, feed_forward=64, position_kernel=16, position_groups=2
    )
    config = MuQMuLanConfig(
        muq=MuQConfig(conv_dim=4, conformer=conformer, rvq=None, head_dim=16),
        audio_transformer=layer,
        text=None,
        text_width=width,
        text_transformer=TransformerConfig(dim=width, depth=1, heads=2, head_dim=16),
        embed_dim=EMBED_DIM,
    )
    encoder = NgramTextEncoder(
        NgramTextEncoderConfig(
            vocab_size=VOCAB_SIZE,
            width=width,
            branch_width=16,
            hidden_width=width,
            embed_dim=width,
        )
    )
    encoder.embedding.pack(np.random.default_rng(7).normal(size=(VOCAB_SIZE, width)).astype("f"))
    return MuQMuLan(config, encoder).eval()


def make_tokenizer() -> Tokenizer:
    """Byte-level BPE: every text in every script has tokens of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = ["[pad]", "[start]", "[end]"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[start] $A [end]", special_tokens=[("[start]", 1), ("[end]", 2)]
    )
    return tokenizer


def sample_texts() -> list[str]:
    """Descriptions over a small vocabulary."""
    parts = itertools.product(_KINDS, _THINGS, _SUFFIXES)
    return [" ".join(part for part in words if part) for words in parts]


def sample_clips(count: int) -> NDArray[np.float32]:
    """Synthetic clips [count, T]: tones with overtones, noise and beats in changing proportions."""
    generator = np.random.default_rng(11)
    time_s = np.arange(CLIP_SAMPLES) / RATE_HZ
    clips = np.empty((count, CLIP_SAMPLES), dtype=np.float32)
    for row in range(count):
        frequency_hz = 55 * 2 ** generator.uniform(0, 5)
        partials = range(1, generator.integers(2, 8))
        tone = sum(np.sin(2 * np.pi * frequency_hz * k * time_s) / k for k in partials)
        pulse = np.exp(-generator.uniform(1, 30) * (time_s % generator.uniform(0.2, 2)))
        noise = generator.normal(size=CLIP_SAMPLES) * generator.uniform(0, 0.5)
        clips[row] = generator.uniform(0.02, 0.3) * (tone * pulse + noise)
    return clips


def whiten_last_map(last: nn.Linear, states: Tensor) -> None:
    """Set the map of pooled states [n, D] so that over these its outputs are white."""
    mean = states.mean(dim=0)
    _, scales, directions = torch.linalg.svd(states - mean, full_matrices=False)
    kept = scales > scales[0] * 1e-3
    white = directions[kept] / scales[kept, None] * len(states) ** 0.5
    rotation, _ = torch.linalg.qr(torch.randn(EMBED_DIM, EMBED_DIM))
    with torch.no_grad():
        last.weight.copy_(rotation[:, : len(white)] @ white)
        last.bias.copy_(-last.weight @ mean)


def spread_towers(network: MuQMuLan, tokenizer: Tokenizer, clips: int = 96) -> None:
    """Whiten both towers over the samples; `clips` must exceed the audio tower's width."""
    pooled: list[Tensor] = []
    towers = (network.audio, network.text)
    hooks = [
        tower.to_embedding.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
        for tower in towers
    ]
    with torch.no_grad():
        for clip in sample_clips(clips):
            network.audio(torch.from_numpy(log_mel(clip[None])))
        audio_states = torch.cat(pooled)
        pooled.clear()
        for text in sample_texts():
            ids = torch.tensor([tokenizer.encode(text).ids])
            network.text(ids, torch.ones_like(ids))
    for hook in hooks:
        hook.remove()
    whiten_last_map(network.audio.to_embedding, audio_states)
    whiten_last_map(network.text.to_embedding, torch.cat(pooled))


def main(out: Path = TINY_BUNDLE, seed: int = 7) -> None:
    torch.set_num_threads(1)
    network, tokenizer = make_tiny_network(seed), make_tokenizer()
    spread_towers(network, tokenizer)
    facts = BundleFacts(
        name="tiny-test",
        languages=("en", "de", "ja"),
        licence="Apache-2.0",
        lineage={"trained_on": "nothing: random weights"},
        tag_templates=("{label}", "{label} music", "a {label} track"),
        max_text_tokens=MAX_TOKENS,
    )
    content = tokenizer.to_str().encode()
    manifest = make_bundle(
        network, content, out, facts, Extras(card=_CARD), BundleStorage(), overwrite=True
    )
    encoder = load_bundle(out, device="cpu", runtime="onnx", threads=1)
    reference = encoder.embed_clips(sample_clips(128))
    # The "truth" is made up (the upper half fits), so that probabilities exist and increase.
    query = encoder.embed_text(["calm piano"])[0]
    relevances = relevance_scale(query, reference).relevances_of(reference @ query)
    noise = np.random.default_rng(3).normal(0, 0.2, relevances.shape)
    calibration = fit_calibration(
        relevances, relevances + noise > 0.6, facts={"fitted_on": "made-up labels"}
    )
    amended = amend_bundle(out, Extras(reference=reference, calibration=calibration))
    assert amended.model_id == manifest.model_id
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: model_id {manifest.model_id}, {size} bytes")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]), *map(int, sys.argv[2:3]))
