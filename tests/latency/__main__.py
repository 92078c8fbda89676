"""Measures the latency of every call on a large library.

    python -m tests.latency --library FOLDER --out FOLDER [--tracks 100000] [--only TEXT] [--long]

The library is made once (minutes) and kept in its folder; each run works on a copy. With
--database the rows go to that (empty) PostgreSQL database instead, and are worked on there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.latency.run import Plan, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.latency", description=__doc__)
    parser.add_argument("--library", type=Path, required=True, help="where it is, or is to be")
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--model", type=Path, help="a bundle's folder; by default the bundled one")
    parser.add_argument("--database", help="URL of an empty PostgreSQL database")
    parser.add_argument("--only", default="", help="only calls that this pattern finds")
    parser.add_argument("--rounds", type=int, default=None, help="times that each call is made")
    parser.add_argument("--long", action="store_true", help="also export, import, verify, rebuild")
    given = parser.parse_args()
    plan = Plan(
        library=given.library,
        out=given.out,
        tracks=given.tracks,
        database_url=given.database,
        model=given.model,
        only=given.only,
        long=given.long,
        **({} if given.rounds is None else {"rounds": given.rounds}),
    )
    run(plan)


if __name__ == "__main__":
    main()
