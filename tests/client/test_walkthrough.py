"""docs/walkthrough.py, as a new user would run it: a fresh service, its demo library and model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.process import ROOT, environment, serving


def test_the_walk_through_the_whole_api_works(tmp_path: Path) -> None:
    env = environment(tmp_path, f"sqlite:///{tmp_path}/muquery.db", DEMO_LIBRARY="true")
    del env["MUQUERY_MODEL"]  # the bundled one
    with serving(env) as server:
        walk = subprocess.run(
            [sys.executable, str(ROOT / "docs" / "walkthrough.py"), server.url],
            env=env,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert walk.returncode == 0, walk.stdout + walk.stderr
    assert "All of it worked." in walk.stdout
