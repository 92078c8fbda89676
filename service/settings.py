"""Every setting, read from the environment (prefix MUQUERY_) by entry points alone.

Everything below an entry point takes arguments; nothing else reads this at import time.
docs/configuration.md holds the same table, made by `python -m service.settings`; a test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one process; units are in the names."""

    model_config = SettingsConfigDict(env_prefix="MUQUERY_", extra="ignore")

    data_dir: Path = Field(Path("data"), description="Folder of database, blobs and index.")
    database_url: str | None = Field(
        None, description="SQLAlchemy URL; by default SQLite in the data folder."
    )
    blob_url: str | None = Field(
        None, description="s3://bucket/prefix; by default files live in the data folder."
    )
    s3_endpoint: str | None = Field(None, description="URL of the S3 store; by default AWS.")
    s3_access_key: SecretStr | None = Field(
        None, description="Key of the S3 store; by default what the AWS environment says."
    )
    s3_secret_key: SecretStr | None = Field(None, description="The secret of that key.")
    s3_region: str = Field("us-east-1", description="Region of the S3 store.")

    host: str = Field("127.0.0.1", description="Address that the API binds to.")
    port: int = Field(8000, ge=0, le=65535, description="Port that the API binds to.")
    allow_open: bool = Field(
        False, description="Serve beyond loopback although no key exists (anyone may do anything)."
    )
    require_key: bool = Field(
        False, description="Ask for a key on loopback too (always asked for elsewhere)."
    )

    model: str | None = Field(
        None, description="Bundle name or folder; by default the bundled one."
    )
    device: str = Field("auto", description="auto, cpu or cuda.")
    runtime: Literal["auto", "onnx", "torch"] = Field("auto", description="What runs the model.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="Arithmetic of torch.")
    threads: int = Field(0, ge=0, description="Threads per model run; 0 means all cores.")

    max_upload_bytes: int = Field(
        512 * 1024 * 1024, gt=0, description="Largest file that an upload may carry."
    )
    max_clip_bytes: int = Field(
        32 * 1024 * 1024, gt=0, description="Largest unstored clip of a search or tag request."
    )
    max_clip_s: float = Field(60.0, gt=0, description="Seconds of an unstored clip that are used.")
    max_track_s: float = Field(
        4 * 3600.0, gt=0, description="Seconds of a track that are analysed; the rest is only kept."
    )
    min_free_bytes: int = Field(
        256 * 1024 * 1024, ge=0, description="Free disk under which uploads are refused."
    )

    decode_memory_bytes: int = Field(
        1024 * 1024 * 1024, gt=0, description="Address space of one decoder process."
    )
    decode_timeout_s: float = Field(600.0, gt=0, description="Wall time of one decoder process.")
    decode_cpu_s: int = Field(300, gt=0, description="CPU time of one decoder process.")

    worker: Literal["thread", "off"] = Field(
        "thread", description="thread: `muquery serve` also works on jobs; off: it does not."
    )
    job_lease_s: float = Field(60.0, gt=0, description="A silent worker loses its job after this.")
    job_max_attempts: int = Field(3, gt=0, description="Tries before a job is given up.")
    job_poll_s: float = Field(1.0, gt=0, description="How often an idle worker looks for jobs.")
    clip_batch: int = Field(8, gt=0, description="Clips embedded at once.")

    text_queue: int = Field(256, gt=0, description="Texts that may wait before 503 is answered.")
    text_batch: int = Field(32, gt=0, description="Texts embedded at once.")
    text_cache: int = Field(4096, ge=0, description="Text vectors kept in memory.")
    index_poll_s: float = Field(1.0, gt=0, description="How often an index catches up with SQL.")
    snapshot_every_s: float = Field(
        300.0, gt=0, description="How often a changed index is saved, or a shared one compared."
    )
    index_engine: Literal["faiss", "milvus"] = Field(
        "faiss", description="faiss: in each process; milvus: one for all, needs PostgreSQL."
    )
    milvus_url: str | None = Field(None, description="URL of Milvus.")
    milvus_token: SecretStr | None = Field(None, description="user:password or key of Milvus.")
    exact_below: int = Field(
        200_000, gt=0, description="Vectors up to which the index is searched exactly."
    )

    demo_library: bool = Field(True, description="Put the demo library into an empty library.")
    log_level: str = Field("info", description="debug, info, warning or error.")

    @property
    def resolved_database_url(self) -> str:
        """The database's URL, SQLite inside the data folder unless told otherwise."""
        if self.database_url is not None:
            return self.database_url
        return f"sqlite:///{self.data_dir / 'muquery.sqlite3'}"


def settings_table() -> str:
    """The settings as the Markdown table of docs/configuration.md."""
    rows = ["| variable | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `MUQUERY_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(settings_table())
