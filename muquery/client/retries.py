"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx

from muquery.client.errors import retry_after_s

_BUSY = frozenset({429, 503})


@dataclass(frozen=True)
class Retries:
    """How patient a client is.

    A busy service (429, 503) is asked again after the time that it names, whatever the request: it
    has refused it, so nothing was done. A broken connection is tried again only where doing a thing
    twice is the same as doing it once.
    """

    most: int = 6
    first_s: float = 0.5
    longest_s: float = 30.0

    def after_answer(self, response: httpx.Response, attempt: int) -> float | None:
        """Seconds to wait before trying again, or None to take the answer as it is."""
        if response.status_code not in _BUSY or attempt >= self.most:
            return None
        asked = retry_after_s(response)
        return min(asked, self.longest_s) if asked is not None else self._grown(attempt)

    def after_break(self, idempotent: bool, attempt: int) -> float | None:
        """The same for a connection that failed."""
        return self._grown(attempt) if idempotent and attempt < self.most else None

    def _grown(self, attempt: int) -> float:
        # Clients that were refused together must not come back together.
        jitter = random.uniform(0.5, 1.0)  # noqa: S311
        return min(self.first_s * 2.0**attempt, self.longest_s) * jitter


NEVER = Retries(most=0)
