"""What the steps of recipe `small` took where they were measured: time, and disk that stays.

Times are of one core of a shared machine (AVX-512 with bf16), two for what uses processes; disk is
what `du` said of the finished folders. Downloads depend on the line: theirs were measured on a fast
one.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.training.bundled.recipe import StageRun

# Audio seconds that one core learned from in a second, by stage; of robust, with its changes.
_RATES = {"mel_rvq": 745.0, "muq": 129.0, "mulan": 155.0, "robust": 148.0}
# A checkpoint, the last and the best of them, and what else lies in a run's folder.
_RUN_MB = {"mel_rvq": 5, "muq": 94, "mulan": 97, "robust": 96}


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time, megabytes that stay on disk, and megabytes to download."""

    seconds: float
    disk_mb: float
    download_mb: float = 0.0


# corpus: 3 min of downloads, 1 of reading, 2 of fingerprints, 13 for 3,498 renders (three processes
# on two cores, 4.4 a second). teacher: 9,841 windows at 1.9 a second of a core. mels: 39.9 hours at
# 430 times realtime. evaluation: 5.7 hours to embed at 210 times realtime, 1,113 windows for the
# teacher, and the judging.
STEP_COSTS = {
    "corpus": Cost(1200, 17000, 6100),
    "text": Cost(20, 96, 46),
    "teacher": Cost(5180, 45, 30),
    "mels": Cost(335, 2140),
    "average": Cost(2, 10),
    "translate": Cost(15, 10),
    "tell": Cost(300, 14),
    "sets": Cost(20, 730, 290),
    "bundle": Cost(90, 57),
    "evaluation": Cost(500, 5),
    "card": Cost(4, 1),
}


def cost_of_run(field: str, run: StageRun) -> Cost:
    """What a training run costs by the measured rates: crops of its phases, over the rate."""
    seconds, since = 0.0, 0
    for phase in run.recipe.data.phases:
        until = min(phase.until_update, run.recipe.optimiser.updates)
        seconds += max(until - since, 0) * phase.batch_size * phase.crop_s / _RATES[field]
        since = max(since, until)
    return Cost(seconds, _RUN_MB[field])
