"""The `muquery` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script; ends the process with the command's exit code."""
    if sys.argv[1:2] == ["serve"]:
        from service.cli.numpy_threads import load_numpy_for_small_products

        load_numpy_for_small_products()
    from service.cli.program import run

    raise SystemExit(run())
