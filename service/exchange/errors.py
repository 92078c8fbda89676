"""What can be wrong with a file of embeddings."""

from __future__ import annotations

from service.errors import Conflict, InvalidRequest


class ModelMismatch(Conflict):
    code = "model_mismatch"
    default_message = "These embeddings were made by another model than the one that is loaded."


class InvalidEmbeddings(InvalidRequest):
    code, default_message = "invalid_embeddings", "The file is not a whole export of embeddings."


class FormatNotInstalled(InvalidRequest):
    code = "format_not_installed"
    default_message = "Parquet needs pip install 'muquery[parquet]' here; npz works without it."
