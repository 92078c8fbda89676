"""What endpoints ask for: the services of this process."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.runtime import Services


def get_services(request: Request) -> Services:
    """The services, bound to one model from the beginning of the request to its end."""
    services: Services = request.app.state.services
    return services.pinned()


ServicesDep = Annotated[Services, Depends(get_services)]
