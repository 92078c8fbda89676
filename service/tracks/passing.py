"""The tracks that pass a filter, looked for once and named in every statement that needs them.

The counts of ten fields take some forty statements. A filter on tags, on the user's own keys or on
a part of a name costs more than most of them, so it is not asked forty times.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import BigInteger, ColumnElement, Select, Text, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from service.database.tables import Track
from service.filtering.nodes import FieldKind, identity, leaves
from service.tracks.repository import TrackFilter

Where = Sequence[ColumnElement[bool]]

MOST_NAMED = 200_000
"""Where more tracks pass, the list of them grows too long to be sent."""
SCANNED_FROM = 2_000
"""So many tracks are found sooner by a walk through an index than by looking up the row of each."""

_BRACES = str.maketrans("[]", "{}")
_IN_ROWS_OF_THEIR_OWN = {FieldKind.EXTRA, FieldKind.TAGS, FieldKind.TAG}


class PassingTracks:
    """Conditions on tracks that hold within one session which sees one moment."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, Where] = {}

    def where(self, filter_: TrackFilter) -> Where:
        """Conditions equal to the filter's own. Filters may differ in `node` alone."""
        conditions = filter_.conditions()
        if not _is_costly(filter_):
            return conditions
        key = json.dumps(identity(filter_.node), default=str)
        if key not in self._known:
            self._known[key] = self._named(conditions)
        return self._known[key]

    def _named(self, conditions: Where) -> Where:
        query = select(Track.pk).where(*conditions).limit(MOST_NAMED + 1)
        pks = list(self._session.scalars(query))
        if len(pks) > MOST_NAMED:
            return conditions
        # A sum is in no index: SQLite then walks the smallest one that has what is counted.
        number = Track.pk + 0 if len(pks) >= SCANNED_FROM else Track.pk
        return [number.in_(self._numbers(pks))]

    def _numbers(self, pks: Sequence[int]) -> Select[tuple[int]]:
        """All in one parameter: a statement with thousands of them takes long to prepare."""
        listed = json.dumps(pks)
        if self._session.get_bind().dialect.name == "sqlite":
            return select(func.json_each(listed).table_valued("value").c.value)
        array = cast(cast(listed.translate(_BRACES), Text), ARRAY(BigInteger))
        return select(func.unnest(array))


def _is_costly(filter_: TrackFilter) -> bool:
    if filter_.text:
        return True
    node = filter_.node
    return node is not None and any(
        leaf.field.kind in _IN_ROWS_OF_THEIR_OWN for leaf in leaves(node)
    )
