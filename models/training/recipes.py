"""Recipes: one function per stage and size, each returning a validated, frozen configuration.

`tiny` runs in seconds on a CPU (the tests use it), `small` made the bundled model on two CPU
cores, `published` has the sizes and the schedule of the paper. What the paper does not say, and
what was decided instead, stands in the function's docstring.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from models.networks.config import (
    ConformerConfig,
    MelRVQConfig,
    MuQConfig,
    MuQMuLanConfig,
    TransformerConfig,
)
from models.networks.random_projection import RandomProjectionConfig
from models.training.augment import AugmentConfig
from models.training.captions import CaptionWeights
from models.training.data import CropPhase, DataConfig
from models.training.distill import DistillConfig
from models.training.encodec_labels import EncodecConfig
from models.training.exact_labels import ExactLabelConfig
from models.training.loop import LoopConfig
from models.training.mel_rvq import MelRvqRecipe
from models.training.mulan import MulanRecipe
from models.training.muq import MuqRecipe
from models.training.relabel import RelabelRecipe
from models.training.schedule import OptimiserConfig


def mel_rvq_tiny() -> MelRvqRecipe:
    """Two books of 32 codes for the test suite."""
    return MelRvqRecipe(
        rvq=MelRVQConfig(codebooks=2, codebook_size=32, codebook_dim=4, stale_tolerance=5),
        data=DataConfig(phases=(CropPhase(20, 1.0, 4),)),
        optimiser=OptimiserConfig(peak_lr=3e-3, updates=20),
        loop=LoopConfig(log_every=5, validate_every=10, save_every=10, device="cpu"),
    )


def mel_rvq_small() -> MelRvqRecipe:
    """Eight books of 512 codes, fitted in minutes.

    Half the published number of codes and ten times its rate, which a short run needs to settle;
    levels are shifted by up to 20 dB, as in every stage that leads to the bundled model.
    """
    return MelRvqRecipe(
        rvq=MelRVQConfig(codebook_size=512, stale_tolerance=50),
        data=DataConfig(
            phases=(CropPhase(1600, 1.0, 48),), augment=AugmentConfig(gain_db=20.0, tilt_db=3.0)
        ),
        optimiser=OptimiserConfig(peak_lr=2e-3, updates=1600, decay="linear", warmup_updates=50),
        loop=LoopConfig(log_every=100, validate_every=500, save_every=500),
    )


def mel_rvq_published() -> MelRvqRecipe:
    """The released quantizer: 8 x 1024 x 16, 4,000 updates of 32 five-second crops, Adam 1e-4.

    The source says that crops are random; how tracks are weighted it does not: by duration here.
    """
    return MelRvqRecipe(
        rvq=MelRVQConfig(),
        data=DataConfig(phases=(CropPhase(4000, 5.0, 32),), duration_power=1.0),
        optimiser=OptimiserConfig(peak_lr=1e-4, updates=4000),
        loop=LoopConfig(log_every=10, validate_every=100, save_every=100),
    )


def mel_rvq_published_vq() -> MelRvqRecipe:
    """The published package's single VQ: 1024 codes of 8, replaced after 1,000 idle batches.

    A quantizer of one book; MuQ predicts it with `muq.target_codebooks=1 muq.head_dim=1024`, and
    `muq.rvq` as here. Updates, batch and rate are those of mel_rvq: the source gives no others.
    """
    vq = MelRVQConfig(codebooks=1, codebook_dim=8, stale_tolerance=1000)
    return dataclasses.replace(mel_rvq_published(), rvq=vq)


def muq_tiny() -> MuqRecipe:
    """A one-layer network for the test suite; set `rvq_run` to a run of mel_rvq tiny."""
    conformer = ConformerConfig(width=16, layers=1, heads=2, feed_forward=32, depthwise_kernel=5)
    return MuqRecipe(
        muq=MuQConfig(
            conv_dim=4, conformer=conformer, head_dim=64, target_codebooks=2,
            rvq=mel_rvq_tiny().rvq,
        ),
        data=DataConfig(phases=(CropPhase(6, 1.2, 4),)),
        optimiser=OptimiserConfig(peak_lr=1e-3, updates=6, warmup_updates=2, decay="linear"),
        loop=LoopConfig(log_every=2, validate_every=3, save_every=3, device="cpu"),
    )  # fmt: skip


def muq_tiny_random() -> MuqRecipe:
    """muq tiny with a random projection as its target: BEST-RQ, for the comparison of targets."""
    return on_random_projection(muq_tiny(), RandomProjectionConfig(codebook_size=32))


def muq_small_random() -> MuqRecipe:
    """muq small on a random projection: one book of 8192 codes, as the source compares with."""
    return on_random_projection(muq_small(), RandomProjectionConfig())


def on_random_projection(recipe: MuqRecipe, target: RandomProjectionConfig) -> MuqRecipe:
    """Return a recipe of stage muq with a random projection in the place of its target."""
    muq = dataclasses.replace(
        recipe.muq, rvq=None, target_codebooks=target.codebooks,
        head_dim=target.codebooks * target.codebook_size,
    )  # fmt: skip
    return dataclasses.replace(
        recipe, muq=muq, rvq_run="", label_folder="", random_projection=target
    )


def muq_published_random() -> MuqRecipe:
    """muq published on the published random projection (8192 codes of 16, seed 142)."""
    return on_random_projection(muq_published(), RandomProjectionConfig())


def muq_published_encodec() -> MuqRecipe:
    """muq published on EnCodec's codes (8 books of 1024), the paper's rival; bring its weights.

    `encodec.folder` names them. They are CC BY-NC, and what learns from their codes with them.
    """
    return on_encodec(muq_published(), EncodecConfig())


def muq_small_encodec() -> MuqRecipe:
    """muq small on the first four of EnCodec's books; set `encodec.folder`."""
    return on_encodec(muq_small(), EncodecConfig(codebooks=4))


def on_encodec(recipe: MuqRecipe, target: EncodecConfig, codebook_size: int = 1024) -> MuqRecipe:
    """Return a recipe of stage muq with EnCodec's codes in the place of its target."""
    muq = dataclasses.replace(
        recipe.muq, rvq=None, target_codebooks=target.codebooks,
        head_dim=target.codebooks * codebook_size,
    )  # fmt: skip
    return dataclasses.replace(recipe, muq=muq, rvq_run="", label_folder="", encodec=target)


def small_muq_network() -> MuQConfig:
    """The published form at 1/85 of its size: 24 stem channels, 4 layers of width 192.

    No dropout: a network this small underfits, and drawing the masks took a fifth of the time.
    The head predicts the first four books only; the finer ones cost as much and are nearly noise
    to it.
    """
    conformer = ConformerConfig(
        width=192, layers=4, heads=4, feed_forward=768,
        hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, conv_dropout=0.0,
    )  # fmt: skip
    return MuQConfig(
        conv_dim=24, conformer=conformer, head_dim=4 * 512, target_codebooks=4,
        rvq=mel_rvq_small().rvq,
    )  # fmt: skip


def muq_small() -> MuqRecipe:
    """Pre-training of the bundled model: minutes, not weeks; three-second crops, bf16."""
    return MuqRecipe(
        muq=small_muq_network(),
        data=DataConfig(
            phases=(CropPhase(300, 3.0, 48),), augment=AugmentConfig(gain_db=20.0, tilt_db=3.0)
        ),
        optimiser=OptimiserConfig(
            peak_lr=1e-3, updates=300, warmup_updates=25, decay="linear",
            betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, clip_norm=1.0,
        ),
        loop=LoopConfig(precision="bf16", log_every=10, validate_every=100, save_every=50),
        rvq_run="runs/mel_rvq-small",
    )  # fmt: skip


def muq_published() -> MuqRecipe:
    """The released recipe: 192 clips of 30 s, 5e-4 with 32,000 warm-up, linear to 0 at 400,000.

    64 processes of three clips stand for the 32 GPUs with two accumulation steps; on fewer
    devices raise `loop.micro_batches` and lower the batch. Stored in fp32, as it was.
    """
    return MuqRecipe(
        muq=MuQConfig(),
        data=DataConfig(phases=(CropPhase(400_000, 30.0, 192),), duration_power=1.0),
        optimiser=OptimiserConfig(
            peak_lr=5e-4, updates=400_000, warmup_updates=32_000, decay="linear",
            betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, clip_norm=10.0,
        ),
        loop=LoopConfig(log_every=50, validate_every=2000, save_every=2000),
        rvq_run="runs/mel_rvq-published",
    )  # fmt: skip


def relabel_tiny() -> RelabelRecipe:
    """Label the tiny corpus with states of muq tiny; set `muq_run`."""
    return RelabelRecipe(
        rvq=MelRVQConfig(input_dim=16, codebooks=2, codebook_size=32, codebook_dim=4),
        data=DataConfig(phases=(CropPhase(6, 1.0, 4),)),
        optimiser=OptimiserConfig(peak_lr=3e-3, updates=6),
        loop=LoopConfig(log_every=2, validate_every=3, save_every=3, device="cpu"),
        layer_index=1, segment_s=1.0,
    )  # fmt: skip


def relabel_small() -> RelabelRecipe:
    """Label with the third of four layers, as the source used the ninth of twelve."""
    return RelabelRecipe(
        rvq=MelRVQConfig(input_dim=192, codebook_size=512, stale_tolerance=50),
        data=DataConfig(phases=(CropPhase(1500, 3.0, 16),)),
        optimiser=OptimiserConfig(peak_lr=2e-3, updates=1500, decay="linear", warmup_updates=50),
        loop=LoopConfig(log_every=100, validate_every=500, save_every=500),
        muq_run="runs/muq-small", layer_index=3,
    )  # fmt: skip


def relabel_published() -> RelabelRecipe:
    """Layer 9, 8 x 1024 x 16 codes, 8,100 updates of 32 clips of 30 s, Adam 1e-4.

    Read from an earlier variant of the authors' code; no scaling of the states was seen there.
    """
    return RelabelRecipe(
        rvq=MelRVQConfig(input_dim=1024),
        data=DataConfig(phases=(CropPhase(8100, 30.0, 32),), duration_power=1.0),
        optimiser=OptimiserConfig(peak_lr=1e-4, updates=8100),
        loop=LoopConfig(log_every=10, validate_every=100, save_every=100),
        muq_run="runs/muq-published",
    )


def mulan_tiny() -> MulanRecipe:
    """Two tiny towers for the test suite; set `text_folder`, and `muq_run` to a run of muq tiny."""
    return MulanRecipe(
        network=MuQMuLanConfig(
            muq=muq_tiny().muq,
            audio_transformer=TransformerConfig(dim=16, depth=0),
            text=None, text_width=16,
            text_transformer=TransformerConfig(dim=16, depth=1, heads=2, head_dim=8),
            embed_dim=8, clip_s=2,
        ),
        data=DataConfig(phases=(CropPhase(4, 1.0, 4), CropPhase(6, 2.0, 4))),
        optimiser=OptimiserConfig(peak_lr=1e-3, updates=6, warmup_updates=2, decay="linear"),
        loop=LoopConfig(log_every=2, validate_every=3, save_every=3, device="cpu"),
        text_folder="text", validation_crop_s=2.0,
    )  # fmt: skip


def mulan_small() -> MulanRecipe:
    """The bundled model: a 3.7 M audio tower beside sentence embeddings of a frozen encoder.

    Texts pass one linear map: in trials a deeper text side was no better, and a linear one cannot
    bend what the encoder learned about languages. Most crops last three seconds, because many
    short ones teach more per hour of CPU; the last phase uses whole windows of ten. The power
    of 0.85 gives recordings half of the crops, though there are seven renders for each of them.
    Names of a render's exact labels count a little: with more of them recordings lose. The teacher
    counts half of what it was tried with since its scores have one spread: under the double weight
    half as many captions were found (docs/experiments.md).
    """
    return MulanRecipe(
        network=MuQMuLanConfig(
            muq=small_muq_network(),
            audio_transformer=TransformerConfig(dim=192, depth=0),
            text=None, text_width=512,
            text_transformer=TransformerConfig(dim=512, depth=0),
            embed_dim=256,
        ),
        data=DataConfig(
            phases=(CropPhase(1400, 3.0, 128), CropPhase(1500, 10.0, 48)),
            augment=AugmentConfig(gain_db=20.0, tilt_db=4.0),
            duration_power=0.85,
        ),
        optimiser=OptimiserConfig(
            peak_lr=1e-3, updates=1500, warmup_updates=60, decay="cosine",
            betas=(0.9, 0.98), weight_decay=0.02, clip_norm=1.0,
        ),
        loop=LoopConfig(precision="bf16", log_every=5, validate_every=100, save_every=20),
        text_folder="corpus/text",
        contrast_weight=0.5,
        distill=DistillConfig(labels="corpus/teacher/labels.npz", query_weight=2.0),
        exact_labels=ExactLabelConfig(weight=0.2),
        muq_run="runs/muq-small",
    )  # fmt: skip


def mulan_small_robust() -> MulanRecipe:
    """The bundled model's last 800 updates: music as files have it, cut at the top, full of holes.

    A codec at 64 kbit/s empties the highest mel bins and, above 4 kHz, what its neighbours mask; a
    network that has never seen that takes such a file for other music (cosine .79 to the original).
    As many updates as half of those before, and changes on a part of the crops only, so that
    nothing else is lost by it: 250 updates with more of them cost a fifth of the captions found.
    """
    small = mulan_small()
    return dataclasses.replace(
        small,
        data=dataclasses.replace(
            small.data,
            phases=(CropPhase(740, 3.0, 128), CropPhase(800, 10.0, 48)),
            augment=AugmentConfig(
                gain_db=20.0, tilt_db=4.0, eq_db=2.0, noise_chance=0.15, noise_snr_db=15.0,
                low_pass_chance=0.2, low_pass_hz=8000.0, holes_chance=0.3,
            ),
        ),
        optimiser=dataclasses.replace(
            small.optimiser, peak_lr=7e-4, updates=800, warmup_updates=30
        ),
        muq_run="",
        start_from="runs/mulan-small",
    )  # fmt: skip


def mulan_published() -> MulanRecipe:
    """The paper's audio tower and schedule: batches of 768 times 10, Adam 1e-4, clipping at 0.5.

    The text side is XLM-R base (put Hugging Face's folder of it into `text_folder`), which stays as
    it is, and 8 layers on it; `network.freeze_text_encoder=false` trains it too. Text is made of
    tags in English and Chinese, as published. A run of this shape exports to the published layout.
    """
    return MulanRecipe(
        network=MuQMuLanConfig(),
        data=DataConfig(phases=(CropPhase(100_000, 10.0, 768),), duration_power=0.0),
        optimiser=OptimiserConfig(
            peak_lr=1e-4, updates=100_000, betas=(0.9, 0.99), clip_norm=0.5
        ),
        loop=LoopConfig(
            seed=42, micro_batches=10, precision="bf16", log_every=10, validate_every=100,
            save_every=100,
        ),
        text_folder="xlm-roberta-base",
        captions=CaptionWeights(languages=("en", "zh"), tag_lists=16, most_tags=10),
        muq_run="runs/muq-published",
    )  # fmt: skip


RECIPES: dict[str, dict[str, Callable[[], Any]]] = {
    "mel_rvq": {
        "tiny": mel_rvq_tiny, "small": mel_rvq_small, "published": mel_rvq_published,
        "published_vq": mel_rvq_published_vq,
    },
    "muq": {
        "tiny": muq_tiny, "small": muq_small, "published": muq_published,
        "tiny_random": muq_tiny_random, "small_random": muq_small_random,
        "published_random": muq_published_random,
        "small_encodec": muq_small_encodec, "published_encodec": muq_published_encodec,
    },
    "relabel": {
        "tiny": relabel_tiny, "small": relabel_small, "published": relabel_published
    },
    "mulan": {
        "tiny": mulan_tiny, "small": mulan_small, "small-robust": mulan_small_robust,
        "published": mulan_published,
    },
}  # fmt: skip
