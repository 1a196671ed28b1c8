"""What a status tells of a trained adapter, by which whoever serves it knows it again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base import ApiModel
from .values import Count, Text

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AdapterResult(ApiModel):
    """The adapter that a job has exported."""

    weights: Sha256 = Field(description="SHA-256 of adapter_model.safetensors.")
    data: Sha256 = Field(description="Digest of the prepared data that it was trained on.")


class AdapterRecord(ApiModel):
    """An adapter of a sweep that may be served."""

    name: Text = Field(description="As spec.adapters names it.")
    uri: Annotated[str, Field(max_length=1024)] = Field(
        description="Folder with adapter_config.json and adapter_model.safetensors."
    )
    rank: Count = Field(description="Rows of A and columns of B.")
    alpha: Count = Field(description="What it adds is scaled by alpha / rank.")
    weights: Sha256 = Field(description="SHA-256 of adapter_model.safetensors.")
    data: Sha256 = Field(description="Digest of the prepared data that it was trained on.")


class BaseRecord(ApiModel):
    """The model that all adapters of a sweep stand beside."""

    name: Annotated[str, Field(max_length=512)] = Field(description="As job.model.name says.")
    revision: Text | None = Field(
        default=None, description="Commit of the hub's repository; empty for a folder."
    )
    digest: Sha256 | None = Field(
        default=None, description="SHA-256 of its config.json and of the headers of its weights."
    )
    weights: Sha256 | None = Field(
        default=None,
        description="SHA-256 of sizes and times (in a bucket: digests) of its weights; empty on a hub.",
    )
