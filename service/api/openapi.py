"""`python -m service.api.openapi` prints the API's description, as kept in docs/openapi.json."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from service.api.app import create_app
from service.runtime import build_services
from service.settings import Settings


def render() -> str:
    """The document as text that changes only when the API does."""
    return json.dumps(describe(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def describe() -> dict[str, Any]:
    """The OpenAPI document, built from an application that is never started."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_construct(data_dir=Path(folder))  # whatever the environment says
        app = create_app(settings, build_services(settings))
        return app.openapi()


if __name__ == "__main__":
    sys.stdout.write(render())
