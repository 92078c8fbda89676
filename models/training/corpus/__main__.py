"""`python -m models.training.corpus FOLDER` builds the corpus below FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from models.training.corpus.build import build_corpus


def main() -> int:
    """Build, or say how this is called; returns the exit status."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m models.training.corpus FOLDER\n")
        return 2
    build_corpus(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
