"""The blob store that the settings name; what a store needs is imported only where it is used."""

from __future__ import annotations

from urllib.parse import urlsplit

from service.blobs.local import LocalBlobStore
from service.blobs.store import BlobStore
from service.settings import Settings


def open_blob_store(settings: Settings) -> BlobStore:
    """A folder in the data folder, or the bucket of `blob_url`.

    Raises ValueError for a URL of another kind or half a key, ImportError without the extra `s3`.
    """
    folder = settings.data_dir / "blobs"
    if settings.blob_url is None:
        return LocalBlobStore(folder, min_free_bytes=settings.min_free_bytes)
    url = urlsplit(settings.blob_url)
    if url.scheme != "s3" or not url.netloc or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("MUQUERY_BLOB_URL must look like s3://bucket or s3://bucket/prefix")
    try:
        from service.blobs.s3 import S3BlobStore, S3Config
    except ImportError as error:
        raise ImportError("MUQUERY_BLOB_URL needs an extra: pip install 'muquery[s3]'") from error
    access_key, secret_key = settings.s3_access_key, settings.s3_secret_key
    if (access_key is None) != (secret_key is None):
        raise ValueError("MUQUERY_S3_ACCESS_KEY and MUQUERY_S3_SECRET_KEY go together")
    config = S3Config(
        bucket=url.netloc,
        prefix=url.path.strip("/"),
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key=access_key.get_secret_value() if access_key else None,
        secret_key=secret_key.get_secret_value() if secret_key else None,
    )
    return S3BlobStore(config, folder / "incoming", min_free_bytes=settings.min_free_bytes)
