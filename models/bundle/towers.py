"""What a runtime offers: the two towers as functions from numpy to numpy.

Legend: N items, T samples, L tokens, E embedding width.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Towers(Protocol):
    """Both towers of a bundle on one device; inputs have been checked, outputs have unit norm."""

    @property
    def runtime(self) -> str:
        """`onnx` or `torch`."""
        ...

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        ...

    @property
    def precision(self) -> str:
        """Arithmetic: `fp32`, `bf16`, or `int8` where a file stores it so."""
        ...

    @property
    def clips_per_run(self) -> int:
        """Windows that one run takes: more would only cost memory."""
        ...

    def embed_windows(self, samples: Floats) -> Floats:
        """[N, T] -> [N, E]."""
        ...

    def embed_tokens(self, token_ids: Ints, mask: Ints) -> Floats:
        """[N, L], mask 1 where a token is -> [N, E]."""
        ...
