"""What the command prints, and how it fails: in one plain line that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

UNBROKEN = ("Id", "Relevance", "State", "Length", "Seen", "Worker", "Progress")
"""Columns that are copied or read at a glance, and never broken over lines."""


class CliError(Exception):
    """Ends the command with one line; `exit_code` is never zero."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def console() -> Console:
    return Console()


def error_console() -> Console:
    return Console(stderr=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table; None is shown as a dash. Nothing in a cell is taken as markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in UNBROKEN)
    for row in rows:
        table.add_row(*(escape("–" if cell is None else str(cell)) for cell in row))
    console().print(table)


def clock(seconds: float | None) -> str:
    """Seconds as 1:02:03 or 2:03, a dash for None."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(passage: dict[str, float]) -> str:
    return f"{clock(passage['start_s'])}–{clock(passage['end_s'])}"


def percent(share: float | None) -> str:
    """A share as a percentage, with as many digits as tell it from 100 %."""
    if share is None:
        return "–"
    text = f"{100 * share:.1f} %"
    return f"{100 * share:.3f} %" if text == "100.0 %" and share < 1 else text


def size(size_bytes: int) -> str:
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"
