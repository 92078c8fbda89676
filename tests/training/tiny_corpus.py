"""A corpus that is made in a second: tones and noises with captions, and a tiny text encoder."""

from __future__ import annotations

import hashlib
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models.text.ngram_encoder import NgramTextEncoder, NgramTextEncoderConfig, save_text_encoder
from models.training.manifest import Caption, ManifestEntry, Split, write_manifest
from models.training.mel_cache import build_mel_cache
from models.training.teacher.label_store import TeacherLabels, write_labels
from models.training.teacher.vocabulary import TEACHER_TAGS

RATE_HZ = 24_000
_SOUNDS = ("low", "high", "noise", "pulse")


@dataclass(frozen=True)
class TinyCorpus:
    """Where everything lies: manifest, mel cache, text encoder, teacher labels."""

    manifest: Path
    cache: Path
    text: Path
    labels: Path

    @property
    def data_settings(self) -> list[str]:
        return [f"data.manifest={self.manifest}", f"data.cache={self.cache}"]


def make_tiny_corpus(root: Path, tracks: int = 12) -> TinyCorpus:
    """Write tracks, captions, cache, encoder and labels under `root`."""
    entries = []
    for number in range(tracks):
        kind = _SOUNDS[number % len(_SOUNDS)]
        path = root / f"{number}.wav"
        write_wav(path, sound(kind, 2.0 + 0.5 * (number % 3), seed=number))
        split: Split = "valid" if number % 6 == 4 else "test" if number % 6 == 5 else "train"
        entries.append(make_entry(path, kind, split))
    write_manifest(root / "manifest.jsonl", entries)
    build_mel_cache(entries, root, root / "mels")
    make_text_encoder(root / "text")
    make_labels(root / "labels.npz", entries)
    return TinyCorpus(root / "manifest.jsonl", root / "mels", root / "text", root / "labels.npz")


def make_entry(path: Path, kind: str, split: Split) -> ManifestEntry:
    content = path.read_bytes()
    return ManifestEntry(
        id=path.stem, path=path.name, duration_s=2.0, split=split, group=path.stem,
        source="made", sha256=hashlib.sha256(content).hexdigest(), title=None, artist=None,
        licence="CC0-1.0", attribution="", captions=(Caption(f"{kind} sound", "fact"),),
        tags={"genre": (kind,)},
    )  # fmt: skip


def sound(kind: str, duration_s: float, seed: int) -> np.ndarray:
    """Make one of four sounds that a small network can tell apart."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    noise = rng.normal(size=len(time_s))
    if kind == "noise":
        return 0.2 * noise
    if kind == "pulse":
        return 0.3 * noise * (np.sin(2 * np.pi * 4 * time_s) > 0.8)
    frequency_hz = {"low": 110, "high": 3000}[kind] * 2 ** rng.uniform(-0.2, 0.2)
    return 0.3 * np.sin(2 * np.pi * frequency_hz * time_s) + 0.001 * noise


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def make_text_encoder(folder: Path) -> None:
    """Write a text encoder with random weights and a tokenizer of single bytes."""
    torch.manual_seed(0)
    sizes = NgramTextEncoderConfig(
        vocab_size=260, width=16, branch_width=8, hidden_width=8, embed_dim=16
    )
    encoder = NgramTextEncoder(sizes)
    encoder.embedding.pack(np.random.default_rng(0).normal(size=(260, 16)).astype(np.float32))
    save_text_encoder(encoder, folder, {})
    letters = {"<s>": 0, "</s>": 1, "?": 2}
    # The alphabet comes in another order in every process.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters |= {letter: i for i, letter in enumerate(alphabet, start=3)}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def make_labels(path: Path, entries: list[ManifestEntry]) -> None:
    """Write teacher labels that depend on the sound alone, two windows a track."""
    rng = np.random.default_rng(1)
    opinions = {kind: rng.normal(size=len(TEACHER_TAGS)) for kind in _SOUNDS}
    rows = [(entry, start_s) for entry in entries for start_s in (0.0, 0.8)]
    logits = np.stack([opinions[entry.tags["genre"][0]] for entry, _ in rows])
    logits = logits + 0.1 * rng.normal(size=logits.shape)
    write_labels(
        path,
        TeacherLabels(
            track_ids=np.asarray([entry.id for entry, _ in rows]),
            starts_s=np.asarray([start_s for _, start_s in rows], dtype=np.float32),
            durations_s=np.full(len(rows), 1.2, dtype=np.float32),
            logits=logits.astype(np.float32),
            embeddings=rng.normal(size=(len(rows), 6)).astype(np.float16),
        ),
    )
