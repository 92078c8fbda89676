"""Wire types of models and of a change from one to another."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas import Wire


class ModelInfo(Wire):
    """A model that this library was, is or is to be analysed with.

    What only a loaded model knows is null for those that are not in use.
    """

    model_id: str
    name: str
    active: bool
    state: Literal["active", "next", "unused"] = Field(
        description="In use; being prepared; known, and there to go back to while it has vectors."
    )
    tracks: int = Field(description="Tracks that have vectors of this model.")
    source: str | None = Field(description="The name or folder; null for the default model.")
    embed_dim: int
    licence: str
    sample_rate_hz: int | None
    clip_s: float | None
    languages: list[str]
    runtime: str | None
    device: str | None


class ModelChange(Wire):
    """A change of model under way; searches go on under the model in use."""

    model_id: str
    name: str
    started_at: datetime
    tracks: int = Field(description="Tracks that can be searched, and must be analysed anew.")
    done: int
    failed: int = Field(description="Tracks that could not be analysed under the next model.")
    progress: float = Field(ge=0, le=1)
    speed: float | None = Field(description="Seconds of music analysed in a second, of late.")
    eta_s: float | None = Field(description="Null until a few tracks were done.")
    allow_missing: bool
    problem: str | None = Field(description="Why it does not get on; null while it does.")


class ModelList(Wire):
    items: list[ModelInfo] = Field(description="The model in use first, then the newest.")
    change: ModelChange | None = Field(description="The change under way.")


class ModelSource(Wire):
    """Where a model is: a name, or a folder on the machines of the service and its workers."""

    source: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Null for the default model."
    )


class Activation(Wire):
    """What became of the wish to change to a model."""

    model_id: str
    state: Literal["active", "next"] = Field(description="`next`: being prepared; see GET /models.")
    change: ModelChange | None


class Pruned(Wire):
    model_id: str
    tracks: int = Field(description="Tracks whose vectors of this model were deleted.")
