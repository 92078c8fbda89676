"""Every kind of blob store, each one real."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from service.blobs.store import BlobStore


def make_store(request: pytest.FixtureRequest, kind: str, scratch: Path) -> BlobStore:
    """A store of its own for each test."""
    if kind == "local":
        from service.blobs.local import LocalBlobStore

        return LocalBlobStore(scratch)
    from service.blobs.s3 import S3BlobStore, S3Config
    from tests.support.s3 import ACCESS_KEY, BUCKET, SECRET_KEY

    config = S3Config(
        bucket=BUCKET,  # a bucket takes seven volumes of the server; prefixes cost nothing
        prefix=f"tests/{uuid4().hex}",
        endpoint=request.getfixturevalue("s3_server").endpoint,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
    )
    return S3BlobStore(config, scratch / "incoming")


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.cluster)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store; its temporary files are in `blobs/incoming` of the test's folder."""
    return make_store(request, request.param, tmp_path / "blobs")
