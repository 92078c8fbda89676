"""The `muquery` command."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script; ends the process with the command's exit code."""
    from service.cli.program import run

    raise SystemExit(run())
