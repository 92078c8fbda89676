"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.client import Target
from service.settings import Settings

Url = Annotated[
    str | None,
    typer.Option(
        envvar="MUQUERY_URL",
        help="A running service, as http://host:port. By default one on this machine, or none.",
    ),
]
Key = Annotated[str | None, typer.Option(envvar="MUQUERY_KEY", help="A key of that service.")]
FilterOption = Annotated[
    str | None,
    typer.Option("--filter", help='Only these tracks, as JSON: \'{"field":"genre","eq":"Jazz"}\'.'),
]
Limit = Annotated[int, typer.Option(min=1, max=100, help="How many to show.")]


def target(url: str | None, key: str | None) -> Target:
    return Target(url, key)


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment; an option given on the command line wins over it."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return Settings(**given)  # type: ignore[arg-type]  # pydantic checks each
