"""The ONNX Runtime towers: numpy log-mel in front, no torch anywhere.

Legend: N items, T samples, M mel bins, F frames, L tokens, E embedding width.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.audio.mel_numpy import log_mel
from models.bundle.manifest import Manifest, OnnxRuntime
from models.bundle.onnx_file import refuse_external_data
from models.bundle.towers import Floats, Ints
from models.errors import BundleFormatError, RuntimeUnavailableError

MEL_INPUT, TOKENS_INPUT, MASK_INPUT, OUTPUT = "mel", "token_ids", "mask", "embedding"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


class OnnxTowers:
    """Both towers as ONNX Runtime sessions; implements `Towers`."""

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        device: Literal["cpu", "cuda"],
        threads: int,
    ) -> None:
        """Both graphs in `folder` must have been checked; 0 threads means all cores."""
        spec = manifest.runtimes.onnx
        if spec is None:
            raise RuntimeUnavailableError(f"the bundle {manifest.name} has no ONNX files")
        self._front_end = manifest.front_end
        self._spec: OnnxRuntime = spec
        self._device = device
        self._audio = _session(folder / spec.audio, device, threads, {MEL_INPUT})
        self._text = _session(folder / spec.text, device, threads, {TOKENS_INPUT, MASK_INPUT})

    @property
    def runtime(self) -> str:
        return "onnx"

    @property
    def device(self) -> str:
        return self._device

    @property
    def precision(self) -> str:
        return "int8" if self._spec.audio_weights == "int8" else "fp32"

    @property
    def clips_per_run(self) -> int:
        # Int8 graphs scale activations by the whole input: a neighbour would change a clip's
        # vector. On a CPU a batch is no faster than its clips one by one.
        return 1 if self._device == "cpu" or self.precision == "int8" else 16

    def embed_windows(self, samples: Floats) -> Floats:
        return self.embed_mel(log_mel(samples, self._front_end))

    def embed_mel(self, mel: Floats) -> Floats:
        """[N, M, F] normalised log-mel -> [N, E]: for material whose mel is at hand."""
        return _run(self._audio, {MEL_INPUT: mel})

    def embed_tokens(self, token_ids: Ints, mask: Ints) -> Floats:
        if self._spec.text_weights != "int8":
            return _run(self._text, {TOKENS_INPUT: token_ids, MASK_INPUT: mask})
        # As above: one by one and without padding, so that a text's vector is its own.
        rows = []
        for ids, tokens in zip(token_ids, mask.sum(axis=1), strict=True):
            feeds = {TOKENS_INPUT: ids[None, :tokens], MASK_INPUT: mask[:1, :tokens] * 0 + 1}
            rows.append(_run(self._text, feeds))
        return np.concatenate(rows)


def cuda_is_usable() -> bool:
    """Whether this ONNX Runtime was built with CUDA."""
    import onnxruntime

    return _PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def usable_cores() -> int:
    """Cores that this process may run on, which in a container is not all that the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(path: Path, device: str, threads: int, inputs: set[str]) -> Any:
    import onnxruntime

    refuse_external_data(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Idle threads that spin would burn the cores of the API and the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device == "cuda" and not cuda_is_usable():
        raise RuntimeUnavailableError("this onnxruntime has no CUDA; install onnxruntime-gpu")
    try:
        # By path: a session that is made from bytes keeps them for as long as it lives.
        session = onnxruntime.InferenceSession(path, options, providers=[_PROVIDERS[device]])
    except Exception as error:
        # onnxruntime raises classes of its own that have no common base but Exception.
        raise BundleFormatError(f"{path.name} cannot be loaded by ONNX Runtime: {error}") from error
    if session.get_providers()[0] != _PROVIDERS[device]:
        # onnxruntime falls back to the CPU with a warning that nobody reads.
        raise RuntimeUnavailableError(f"ONNX Runtime could not start on {device}")
    found = {value.name for value in session.get_inputs()}
    if found != inputs or [value.name for value in session.get_outputs()] != [OUTPUT]:
        raise BundleFormatError(
            f"{path.name} has not the inputs {sorted(inputs)} and output {OUTPUT}"
        )
    return session


def _run(session: Any, feeds: dict[str, Any]) -> Floats:
    result: Floats = session.run([OUTPUT], feeds)[0]
    return result
