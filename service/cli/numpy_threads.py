"""How many threads a matrix product of numpy's takes: decided once, when numpy is loaded."""

from __future__ import annotations

import importlib
import os

_VARIABLE = "OPENBLAS_NUM_THREADS"


def load_numpy_for_small_products() -> None:
    """Load numpy so that each of its matrix products runs in the thread that asks for it.

    A server's products are small. Shared among all cores, as numpy has it, those of several
    requests wait for each other's threads, which costs many times what the products do. The model
    and the index have threads of their own, which this leaves alone; so does it a user's setting.
    """
    if _VARIABLE in os.environ:
        return
    os.environ[_VARIABLE] = "1"
    try:
        importlib.import_module("numpy")  # reads the variable now, and never again
    finally:
        del os.environ[_VARIABLE]
