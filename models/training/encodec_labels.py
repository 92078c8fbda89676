"""EnCodec's codes as labels for stage muq, from weights that the user brings.

Legend: T samples at 24 kHz, H EnCodec frames (75 a second), S tokens (25 a second), Q codebooks.

Only where a recipe asks for it, with package transformers installed and a folder that holds the
24 kHz model in Hugging Face's layout. Nothing is fetched. The published weights are CC BY-NC 4.0:
what learns from their codes should not be used commercially.

Source: the published code's rival target, 8 codebooks at 6 kbit/s, of which every third frame is
kept. So token t (40 ms) has the codes of EnCodec's frame 3 t, the first of the three that begin in
it. Where we depart: a track is encoded in segments, each with a second before it, so that memory
does not grow with its length; the encoder is causal, and only its LSTM remembers longer.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.checksum import file_sha256
from models.training import distributed
from models.training.countdown import counted
from models.training.data import TrainingData
from models.training.decode import SAMPLE_RATE_HZ, DecodeError, decode_mono
from models.training.labels import LabelSettings, LabelWriter
from models.training.manifest import ManifestEntry
from models.training.progress import say
from models.training.run import RunError

TOKEN_RATE_HZ = 25
_TOKEN_SAMPLES = SAMPLE_RATE_HZ // TOKEN_RATE_HZ
_MEL_FRAMES_PER_TOKEN = 4
_PREROLL_TOKENS = TOKEN_RATE_HZ
_WEIGHTS = "model.safetensors"


class EncodecError(RunError):
    """EnCodec cannot be used: its package or its weights are missing, or of another kind."""


@dataclass(frozen=True)
class EncodecConfig:
    """Which weights (a folder in Hugging Face's layout), and how many of its codebooks."""

    folder: str = "encodec_24khz"
    codebooks: int = 8
    segment_s: float = 30.0

    def __post_init__(self) -> None:
        if self.codebooks < 1 or self.segment_s < 1:
            raise ValueError(f"EnCodec settings make no sense: {self}")


class Encodec:
    """A frozen EnCodec that gives a track's codes at the rate of MuQ's tokens."""

    def __init__(self, config: EncodecConfig, device: torch.device) -> None:
        self.config, self._device = config, device
        self._model = _open_model(Path(config.folder))
        self._model.to(device)
        shape = self._model.config
        if shape.sampling_rate != SAMPLE_RATE_HZ or shape.audio_channels != 1:
            raise EncodecError(
                f"{config.folder} is for {shape.audio_channels} channels at "
                f"{shape.sampling_rate} Hz; the model for one channel at 24 kHz is needed"
            )
        if _TOKEN_SAMPLES % shape.hop_length or shape.chunk_length_s is not None:
            raise EncodecError(f"{config.folder}: its frames do not divide a token of 40 ms")
        self.codebook_size = int(shape.codebook_size)
        self._frames_per_token = _TOKEN_SAMPLES // shape.hop_length
        self._bandwidth = self._least_bandwidth()

    def codes(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Codes [S, Q] of a track's samples [T]; what is left of a token at the end has none."""
        tokens = len(samples) // _TOKEN_SAMPLES
        segment = round(self.config.segment_s * TOKEN_RATE_HZ)
        parts = []
        for start in range(0, tokens, segment):
            before = min(start, _PREROLL_TOKENS)
            count = min(segment, tokens - start)
            first = (start - before) * _TOKEN_SAMPLES
            frames = self._encode(samples[first : (start + count) * _TOKEN_SAMPLES])
            parts.append(frames[:: self._frames_per_token][before : before + count])
        return np.concatenate(parts) if parts else np.zeros((0, self.config.codebooks), np.int64)

    @torch.no_grad()
    def _encode(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Codes [H, Q] of samples [T]."""
        batch = torch.from_numpy(np.ascontiguousarray(samples))[None, None].to(self._device)
        found = self._model.encode(batch, bandwidth=self._bandwidth).audio_codes
        codes: NDArray[np.int64] = found[0, 0, : self.config.codebooks].T.cpu().numpy()
        return codes

    def _least_bandwidth(self) -> float:
        quantizer = self._model.quantizer
        for bandwidth in sorted(self._model.config.target_bandwidths):
            books = quantizer.get_num_quantizers_for_bandwidth(bandwidth)
            if books >= self.config.codebooks:
                return float(bandwidth)
        raise EncodecError(f"{self.config.folder} has fewer than {self.config.codebooks} codebooks")


def label_with_encodec(
    config: EncodecConfig, data: TrainingData, root: Path, folder: Path, device: torch.device
) -> int:
    """Label every track that `folder` lacks, from the files below `root`; return how many.

    May be interrupted and called again. The first process labels, the others wait for it. Raises
    EncodecError without package or weights, and where a track cannot be decoded.
    """
    added = 0
    if distributed.is_first():
        added = _label(config, data, root, folder, device)
    return round(distributed.from_first(float(added)))


def _label(
    config: EncodecConfig, data: TrainingData, root: Path, folder: Path, device: torch.device
) -> int:
    encodec = Encodec(config, device)
    source = {
        "encodec_sha256": file_sha256(Path(config.folder) / _WEIGHTS),
        "segment_s": config.segment_s,
    }
    settings = LabelSettings(
        codebooks=config.codebooks,
        codebook_size=encodec.codebook_size,
        frames_per_token=_MEL_FRAMES_PER_TOKEN,
        source=json.dumps(source),
    )
    writer = LabelWriter(folder, settings)
    wanted = {e.sha256: e for e in data.entries if e.sha256 in data.cache}
    todo = [entry for sha256, entry in wanted.items() if sha256 not in writer.done]
    for entry in counted(todo, len(todo), "labelled with EnCodec", say):
        writer.add(entry.sha256, encodec.codes(_samples(root, entry)))
    return len(todo)


def _samples(root: Path, entry: ManifestEntry) -> NDArray[np.float32]:
    try:
        return decode_mono(root / entry.path)
    except DecodeError as error:
        raise EncodecError(f"{entry.id} cannot be labelled: {error}") from error


def _open_model(folder: Path) -> Any:
    for name in ("config.json", _WEIGHTS):
        if not (folder / name).is_file():
            raise EncodecError(
                f"{folder / name} is missing: EnCodec as a target needs the folder of its 24 kHz "
                "weights in Hugging Face's layout, which you bring (they are CC BY-NC)"
            )
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise EncodecError(
            'EnCodec as a target needs package transformers: pip install "muquery[encodec]"'
        ) from error
    model = transformers.EncodecModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True
    )
    return model.eval().requires_grad_(False)
