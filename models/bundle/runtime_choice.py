"""Which runtime, device and precision a bundle is loaded with, and why another cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, cast

from models.bundle.manifest import Runtimes
from models.errors import RuntimeUnavailableError

Device = Literal["cpu", "cuda"]
Precision = Literal["fp32", "bf16"]

_DRIVER_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


@dataclass(frozen=True)
class RuntimeChoice:
    """Everything that `auto` stood for."""

    runtime: Literal["onnx", "torch"]
    device: Device
    precision: Precision


def choose_runtime(
    runtimes: Runtimes, *, device: str, runtime: str, precision: str
) -> RuntimeChoice:
    """Settle device, runtime and precision, each a name or `auto`.

    On a CPU ONNX Runtime goes first: it is faster there and needs no torch. On a GPU torch goes
    first, in bfloat16. Raises RuntimeUnavailableError, saying what is missing, for what was asked
    for by name and cannot be had; nothing else is put in its place.
    """
    _require_known("device", device, ("auto", "cpu", "cuda"))
    _require_known("runtime", runtime, ("auto", "onnx", "torch"))
    _require_known("precision", precision, ("auto", "fp32", "bf16"))
    chosen_device = cast(Device, device) if device != "auto" else _best_device(runtimes, runtime)
    chosen = _runtime_for(runtimes, chosen_device, runtime, precision)
    if chosen == "onnx" and precision == "bf16":
        raise RuntimeUnavailableError("precision bf16 needs runtime torch; ONNX computes in fp32")
    if precision == "auto":
        precision = "bf16" if chosen == "torch" and chosen_device == "cuda" else "fp32"
    return RuntimeChoice(chosen, chosen_device, cast(Precision, precision))


def _best_device(runtimes: Runtimes, runtime: str) -> Device:
    # Asking torch costs seconds and 200 MB; where there is no driver the answer is known.
    if not any(node.exists() for node in _DRIVER_NODES):
        return "cpu"
    return "cuda" if any(check() for check in _cuda_checks(runtimes, runtime).values()) else "cpu"


def _runtime_for(
    runtimes: Runtimes, device: Device, runtime: str, precision: str
) -> Literal["onnx", "torch"]:
    if device == "cuda":
        for name, check in _cuda_checks(runtimes, runtime).items():
            if check():
                return name
        raise RuntimeUnavailableError(
            "device cuda needs torch with CUDA and a bundle with torch weights, or onnxruntime-gpu "
            "and a bundle with ONNX files"
        )
    if runtime == "torch" or (runtime == "auto" and precision == "bf16"):
        _require_torch(runtimes)
        return "torch"
    if runtimes.onnx is not None:
        return "onnx"
    if runtime == "onnx":
        raise RuntimeUnavailableError("this bundle has no ONNX files; use runtime torch")
    _require_torch(runtimes)
    return "torch"


def _cuda_checks(
    runtimes: Runtimes, runtime: str
) -> dict[Literal["onnx", "torch"], Callable[[], bool]]:
    checks: dict[Literal["onnx", "torch"], Callable[[], bool]] = {}
    if runtime in ("auto", "torch") and runtimes.torch is not None and torch_is_installed():
        checks["torch"] = _torch_has_cuda
    if runtime in ("auto", "onnx") and runtimes.onnx is not None:
        checks["onnx"] = _onnx_has_cuda
    return checks


def torch_is_installed() -> bool:
    """Whether torch and safetensors can be imported, without importing them."""
    try:
        return find_spec("torch") is not None and find_spec("safetensors") is not None
    except ModuleNotFoundError:
        # What an import hook that blocks a module answers.
        return False


def _torch_has_cuda() -> bool:
    from models.bundle.torch_towers import cuda_is_usable

    return cuda_is_usable()


def _onnx_has_cuda() -> bool:
    from models.bundle.onnx_towers import cuda_is_usable

    return cuda_is_usable()


def _require_torch(runtimes: Runtimes) -> None:
    if runtimes.torch is None:
        raise RuntimeUnavailableError("this bundle has no torch weights; use runtime onnx")
    if not torch_is_installed():
        raise RuntimeUnavailableError(
            "runtime torch needs torch and safetensors: install muquery[train] or muquery[gpu]"
        )


def _require_known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RuntimeUnavailableError(f"{what} must be one of {', '.join(known)}, not {value!r}")
