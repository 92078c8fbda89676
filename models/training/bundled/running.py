"""Run the steps that are not done, in order, and keep a journal of what each of them took."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.training.bundled.chain import Step
from models.training.bundled.checks import list_problems
from models.training.countdown import Say, clock
from models.training.run import RunError

JOURNAL = "bundled.jsonl"


class NotReadyError(RuntimeError):
    """Something that the remaining steps need is missing."""


def plan_lines(steps: Sequence[Step], done: Sequence[bool]) -> Iterator[str]:
    """Lay out what would be done, and what it took where it was measured."""
    for number, (step, is_done) in enumerate(zip(steps, done, strict=True), start=1):
        state = "done" if is_done else _cost_text(step)
        yield f"{number:2d} {step.name:11s} {step.what:58s} {state}"
    left = [step for step, is_done in zip(steps, done, strict=True) if not is_done]
    costs = [step.cost for step in left if step.cost is not None]
    if costs:
        yield (
            f"{len(left)} steps to do: about {clock(sum(c.seconds for c in costs))} on one core, "
            f"{sum(c.disk_mb for c in costs) / 1000:.1f} GB of disk, "
            f"{sum(c.download_mb for c in costs) / 1000:.1f} GB of downloads"
        )


def run_steps(steps: Sequence[Step], journal: Path, say: Say) -> None:
    """Run what is not done; a step that was interrupted goes on from where it was.

    Raises NotReadyError before anything begins where something is missing, and RunError where
    another process runs the same chain or a step does not leave what it makes.
    """
    with _alone(journal.with_suffix(".lock")):
        todo = [step for step in steps if not step.is_done()]
        problems = list_problems(todo)
        if problems:
            raise NotReadyError("\n".join(problems))
        for number, step in enumerate(steps, start=1):
            head = f"[{number}/{len(steps)}] {step.name}"
            if step not in todo:
                say(f"{head}: done before")
                continue
            say(f"{head}: {step.what}{_expected(step)}")
            started = time.monotonic()
            step.run(say)
            if not step.is_done():
                raise RunError(f"{step.name} has ended, and what it makes is not there")
            taken_s = time.monotonic() - started
            _note(journal, step.name, taken_s)
            left_s = sum(s.cost.seconds for s in todo[todo.index(step) + 1 :] if s.cost)
            rest = f"; about {clock(left_s)} left" if left_s else ""
            say(f"{head}: done in {clock(taken_s)}{rest}")


def read_journal(path: Path) -> dict[str, float]:
    """Return the seconds that each step's last call took, by name."""
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {record["step"]: record["seconds"] for record in records}


def _note(journal: Path, name: str, seconds: float) -> None:
    record = {
        "step": name,
        "seconds": round(seconds, 1),
        "ended": time.strftime("%FT%TZ", time.gmtime()),
    }
    with journal.open("a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")


def _cost_text(step: Step) -> str:
    if step.cost is None:
        return "to do"
    size = f"{step.cost.disk_mb / 1000:.1f} GB" if step.cost.disk_mb >= 100 else (
        f"{step.cost.disk_mb:.0f} MB"
    )  # fmt: skip
    download = f", {step.cost.download_mb / 1000:.2f} GB fetched" if step.cost.download_mb else ""
    return f"{clock(step.cost.seconds)}, {size}{download}"


def _expected(step: Step) -> str:
    return "" if step.cost is None else f" (took {_cost_text(step)} where it was measured)"


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            # Given back by the system when the process ends, however it ends.
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"another process is at work here ({lock})") from error
        yield
