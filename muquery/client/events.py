"""Server-sent events, as a stream of lines gives them (the WHATWG's event stream format)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """One event: `kind` is hello, job, import or library; `data` is what the service sent."""

    id: str
    kind: str
    data: Any


class EventLines:
    """Collects lines until an event is complete; remembers where to go on after a break."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self.retry_s = 2.0
        self._fields: dict[str, list[str]] = {}

    def feed(self, line: str) -> Event | None:
        """Take one line without its end; return the event that it completes."""
        if line:
            name, _, value = line.partition(":")
            if name:  # a line that begins with a colon is a comment
                self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "retry" in fields and fields["retry"][-1].isdecimal():
            self.retry_s = int(fields["retry"][-1]) / 1000
        if "id" in fields:
            self.last_id = fields["id"][-1]
        if "data" not in fields:
            return None
        kind = fields.get("event", ["message"])[-1]
        return Event(self.last_id or "", kind, json.loads("\n".join(fields["data"])))

    def broken(self) -> None:
        """Forget a half-received event: the connection is gone."""
        self._fields = {}
