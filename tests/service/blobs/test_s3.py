"""What only a remote store can show: outages, refusals, and keys that stay secret."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.blobs import s3
from service.blobs.factory import open_blob_store
from service.blobs.local import LocalBlobStore
from service.blobs.s3 import S3BlobStore, S3Config
from service.database.engine import Database
from service.errors import TrackNotFound, Unavailable
from service.settings import Settings
from service.tracks import blob_owners
from service.tracks.blob_owners import collect_orphans
from service.tracks.service import TrackService
from tests.service.blobs.test_stores import put
from tests.support.rows import new_track
from tests.support.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, free_ports


def make_settings(tmp_path: Path, **values: object) -> Settings:
    return Settings.model_construct(data_dir=tmp_path, **values)


def test_by_default_blobs_are_in_the_data_folder(tmp_path: Path) -> None:
    store = open_blob_store(make_settings(tmp_path))
    assert isinstance(store, LocalBlobStore)
    assert store.root == tmp_path / "blobs"


@pytest.mark.parametrize(
    "url", ["gs://bucket", "s3://", "s3:///prefix", "/folder", "s3://key@bucket", "s3://b?x=1"]
)
def test_other_urls_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket"):
        open_blob_store(make_settings(tmp_path, blob_url=url))


def test_half_a_key_is_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, blob_url="s3://bucket", s3_access_key=SecretStr("a"))
    with pytest.raises(ValueError, match="go together"):
        open_blob_store(settings)


def test_keys_show_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(s3, "_RETRY_TIMEOUT", timedelta(seconds=0.2))
    monkeypatch.setenv("MUQUERY_S3_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("MUQUERY_S3_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("MUQUERY_S3_ENDPOINT", f"http://127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.setenv("MUQUERY_BLOB_URL", "s3://bucket/a/b")
    settings = Settings(data_dir=tmp_path)
    store = open_blob_store(settings)
    assert isinstance(store, S3BlobStore)
    assert (store._config.bucket, store._config.prefix) == ("bucket", "a/b")
    with pytest.raises(Unavailable) as caught:
        store.find("0" * 64)
    logging.getLogger("test").error("failed: %s %s", settings, store._config, exc_info=caught.value)
    shown = f"{settings!r} {store._config!r} {store._store!r} {caplog.text}"
    assert "a/b" in shown
    assert SECRET_KEY not in shown
    assert ACCESS_KEY not in shown


def test_a_store_that_does_not_answer_is_said_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_RETRY_TIMEOUT", timedelta(seconds=0.2))
    config = S3Config("bucket", endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")
    store = S3BlobStore(config, tmp_path / "incoming")
    absent = "0" * 64
    for ask in (store.find, store.open, store.delete, lambda _: list(store.list_blobs())):
        with pytest.raises(Unavailable):
            ask(absent)
    with pytest.raises(Unavailable):
        put(store, b"x")
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_track_is_deleted_though_the_store_is_down(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is an orphan from then on."""
    monkeypatch.setattr(s3, "_RETRY_TIMEOUT", timedelta(seconds=0.2))
    config = S3Config("bucket", endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")
    tracks = TrackService(database, S3BlobStore(config, tmp_path))
    with database.write() as session:
        track = new_track(session)
    tracks.delete_track(track.id)
    with pytest.raises(TrackNotFound):
        tracks.get_track(track.id)


@pytest.mark.cluster
def test_a_wrong_key_is_unavailable_and_not_missing(tmp_path: Path, s3_server: S3Server) -> None:
    """Else a mistyped setting would end every job with "the file is gone"."""
    config = S3Config(BUCKET, "", s3_server.endpoint, "us-east-1", ACCESS_KEY, "wrong")
    store = S3BlobStore(config, tmp_path)
    with pytest.raises(Unavailable):
        store.find("0" * 64)
    with pytest.raises(Unavailable):
        put(store, b"x")


@pytest.mark.cluster
def test_prefixes_keep_two_services_apart_and_orphans_are_collected(
    tmp_path: Path, s3_server: S3Server, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_store(prefix: str) -> S3BlobStore:
        prefix = f"{tmp_path.name}-{database.is_sqlite}/{prefix}"
        config = S3Config(BUCKET, prefix, s3_server.endpoint, "us-east-1", ACCESS_KEY, SECRET_KEY)
        return S3BlobStore(config, tmp_path / prefix)

    ours, theirs = open_store("ours"), open_store("theirs")
    foreign = put(theirs, b"of another service")
    kept, orphan = put(ours, b"kept"), put(ours, b"orphan")
    monkeypatch.setattr(blob_owners, "_BATCH", 1)
    with database.write() as session:
        new_track(session).sha256 = kept
    assert collect_orphans(database, ours, grace_s=60) == 0
    assert collect_orphans(database, ours, grace_s=-60) == 1
    assert [blob.sha256 for blob in ours.list_blobs()] == [kept]
    assert ours.find(orphan) is None
    assert theirs.find(foreign) is not None
