"""Errors of the vector index, as one tree.

IndexerError
├── InvalidVectors   ids or vectors that an index must not hold
├── UnknownIds       vectors were asked for that are not in the index
├── EngineUnavailable   a remote engine does not answer
└── SnapshotError    a snapshot that must not be used; the caller rebuilds
"""

from __future__ import annotations

from enum import StrEnum


class IndexerError(Exception):
    """Base of all errors of this package."""


class InvalidVectors(IndexerError, ValueError):
    """Ids or vectors have a wrong shape, repeat, are not finite or too long."""


class UnknownIds(IndexerError, KeyError):
    """At least one id is not in the index."""


class EngineUnavailable(IndexerError):
    """A remote engine does not answer, or answers with an error; trying again may help."""


class SnapshotFault(StrEnum):
    """Why a snapshot cannot be used."""

    MISSING = "missing"
    MANIFEST_INVALID = "manifest_invalid"
    SCHEMA_UNKNOWN = "schema_unknown"
    MODEL_MISMATCH = "model_mismatch"
    DIM_MISMATCH = "dim_mismatch"
    FILE_MISSING = "file_missing"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    UNREADABLE = "unreadable"
    COUNT_MISMATCH = "count_mismatch"


class SnapshotError(IndexerError):
    """There is no usable snapshot; `fault` says why."""

    def __init__(self, fault: SnapshotFault) -> None:
        super().__init__(f"no usable snapshot: {fault.value}")
        self.fault = fault
