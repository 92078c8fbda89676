"""Every setting, read from the environment (prefix MUQUERY_) by entry points alone.

Everything below an entry point takes arguments; nothing else reads this at import time.
docs/configuration.md holds the same table, made by `python -m service.settings`; a test compares.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.network.addresses import TrustedProxies
from service.network.origins import parse_origins


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
        False, description="Ask for a key on loopback too, as is needed behind a proxy."
    )
    trusted_proxies: str = Field(
        "", description="Proxies whose X-Forwarded-For is believed: addresses, networks, by commas."
    )
    cors_origins: str = Field(
        "", description="Origins of web pages that may call the API, by commas; * for all."
    )
    rate_limits: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: calls are counted where a key is asked for."
    )
    rate_search_per_min: int = Field(1200, gt=0, description="Searches a minute for each caller.")
    rate_upload_per_min: int = Field(600, gt=0, description="Uploads a minute for each caller.")
    rate_model_per_min: int = Field(
        300, gt=0, description="Calls for tags and embeddings a minute for each caller."
    )
    rate_other_per_min: int = Field(6000, gt=0, description="Other calls a minute, each caller.")
    rate_failures_per_min: int = Field(
        30, gt=0, description="Calls with a wrong key a minute for each address."
    )
    audit_days: int = Field(
        365, ge=0, description="Days that the audit log is kept; 0 keeps it for ever."
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

    import_roots: str = Field(
        "", description="Folders, by colons, whose content `POST /imports` may take in."
    )
    webhook_http_hosts: str = Field(
        "", description="Hosts, by commas, whose webhooks may be http instead of https."
    )
    webhook_private: bool = Field(
        False, description="Let webhooks go to addresses that are not public."
    )
    max_embeddings_bytes: int = Field(
        16 * 1024 * 1024 * 1024, gt=0, description="Largest file of embeddings to be taken in."
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

    @field_validator("trusted_proxies")
    @classmethod
    def _names_networks(cls, text: str) -> str:
        TrustedProxies.parse(text)
        return text

    @field_validator("cors_origins")
    @classmethod
    def _names_origins(cls, text: str) -> str:
        parse_origins(text)
        return text

    @property
    def import_folders(self) -> tuple[Path, ...]:
        """The folders of `import_roots`."""
        return tuple(Path(each) for each in self.import_roots.split(os.pathsep) if each)

    @property
    def http_hosts(self) -> frozenset[str]:
        """The hosts of `webhook_http_hosts`."""
        return frozenset(
            each.strip() for each in self.webhook_http_hosts.split(",") if each.strip()
        )

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
