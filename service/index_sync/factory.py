"""The index that the settings name; what an engine needs is imported only where it is used."""

from __future__ import annotations

import shutil
from collections.abc import Collection

from service.database.engine import Database
from service.index_sync.projection import Projection
from service.index_sync.shared import SharedProjection
from service.inference.encoder import EncoderHandle
from service.settings import Settings


def open_projection(
    settings: Settings, database: Database, encoder: EncoderHandle
) -> Projection | SharedProjection:
    """FAISS in this process, or Milvus for all processes; nothing is opened yet.

    Raises ValueError where Milvus lacks a URL or PostgreSQL, ImportError without its extra.
    """
    if settings.index_engine == "milvus":
        return _open_milvus(settings, database, encoder)
    return Projection(
        database,
        settings.data_dir / "index",
        encoder,
        exact_below=settings.exact_below,
        poll_s=settings.index_poll_s,
        snapshot_every_s=settings.snapshot_every_s,
    )


def forget_snapshots(settings: Settings, known: Collection[str]) -> int:
    """Remove this machine's saved indexes of models that are not `known`; returns how many.

    They only save time at a start, and a pruned model has none.
    """
    folder = settings.data_dir / "index"
    strange = [
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name not in known and (path / "clips" / "manifest.json").is_file()
    ]
    for path in strange:
        shutil.rmtree(path, ignore_errors=True)
    return len(strange)


def _open_milvus(
    settings: Settings, database: Database, encoder: EncoderHandle
) -> SharedProjection:
    if settings.milvus_url is None:
        raise ValueError("MUQUERY_INDEX_ENGINE=milvus needs MUQUERY_MILVUS_URL")
    if database.is_sqlite:
        raise ValueError("MUQUERY_INDEX_ENGINE=milvus needs PostgreSQL in MUQUERY_DATABASE_URL")
    try:
        from indexer.milvus_index import MilvusConfig, MilvusIndex
    except ImportError as error:
        raise ImportError(
            "MUQUERY_INDEX_ENGINE=milvus needs an extra: pip install 'muquery[milvus]'"
        ) from error
    token = settings.milvus_token
    config = MilvusConfig(settings.milvus_url, token.get_secret_value() if token else None)
    return SharedProjection(
        database,
        encoder,
        lambda kind, model_id, dim: MilvusIndex.open(config, kind=kind, model_id=model_id, dim=dim),
        engine=settings.index_engine,
        poll_s=settings.index_poll_s,
        check_every_s=settings.snapshot_every_s,
    )
