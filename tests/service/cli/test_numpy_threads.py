"""With how many threads `muquery serve` multiplies: numpy decides that when it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.process import ROOT

SCRIPT = """
import os, sys
import service.cli
sys.argv = ["muquery", {command!r}, "--help"]
assert "numpy" not in sys.modules, "numpy is loaded before the command line can say how"
try:
    service.cli.main()
except SystemExit as ended:
    assert not ended.code
import numpy as np
np.ones((1000, 1000)) @ np.ones((1000, 1000))
print("threads", len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


def threads_and_setting(command: str, **variables: str) -> list[str]:
    steering = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GOTO_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in steering}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(command=command)],
        env={**kept, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_products_run_in_the_thread_that_asks_and_the_variable_is_gone() -> None:
    assert threads_and_setting("serve") == ["1", "None"]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread anyway")
def test_a_setting_of_the_users_stays() -> None:
    assert threads_and_setting("serve", OPENBLAS_NUM_THREADS="2") == ["2", "2"]
