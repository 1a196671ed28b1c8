"""The whole object, as a person writes it and as the operator reads it."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, ValidationError

from .errors import explain
from .names import API_VERSION, KIND
from .rules import mistake
from .schema.base import ApiModel, Time
from .schema.spec import JobSpec
from .schema.status import JobStatus

MAX_NAME = 52
"""Pods are ``{job}-{attempt}-{rank}`` and a pod's host name has at most 63 characters."""
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
NAME_MESSAGE = (
    f"metadata.name must be at most {MAX_NAME} characters: a lowercase letter, then lowercase letters, "
    "digits or '-', ending in a letter or digit"
)


class Metadata(ApiModel):
    """The part of ``metadata`` that we read."""

    name: str
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class InvalidJob(ValueError):
    """A manifest that cannot be run.

    Attributes:
        mistakes: one sentence a mistake, each naming the field and the fix.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def parse_spec(spec: object, *, strict: bool) -> JobSpec:
    """``spec`` as a model that keeps all rules.

    Args:
        spec: the parsed YAML or JSON.
        strict: whether an unknown field is a mistake (people) or ignored (the operator, which may be older
            than the object).

    Raises:
        InvalidJob: with every mistake found.
    """
    try:
        parsed = JobSpec.model_validate(spec, extra="forbid" if strict else "ignore")
    except ValidationError as error:
        raise InvalidJob(explain(error)) from None
    if broken := mistake(parsed):
        raise InvalidJob([broken])
    return parsed


class _Manifest(ApiModel):
    api_version: Literal["llmtrain.dev/v1alpha1"]
    kind: Literal["LLMTrainingJob"]
    metadata: Metadata


def parse_manifest(document: object) -> tuple[Metadata, JobSpec]:
    """A manifest as a person wrote it, with unknown fields of ``spec`` refused.

    Raises:
        InvalidJob: with every mistake found.
    """
    if not isinstance(document, dict):
        raise InvalidJob([f"the document must be a mapping with apiVersion: {API_VERSION} and kind: {KIND}"])
    mistakes: list[str] = []
    metadata = Metadata(name="")
    try:
        metadata = _Manifest.model_validate(document).metadata
        if len(metadata.name) > MAX_NAME or not NAME.fullmatch(metadata.name):
            mistakes.append(NAME_MESSAGE)
    except ValidationError as error:
        mistakes.extend(explain(error, ""))
    spec: JobSpec | None = None
    try:
        spec = parse_spec(document.get("spec"), strict=True)
    except InvalidJob as invalid:
        mistakes.extend(invalid.mistakes)
    if mistakes or spec is None:
        raise InvalidJob(mistakes)
    return metadata, spec


class Job(ApiModel):
    """The object as the API server holds it. ``spec`` stays raw: it may be newer than this program."""

    metadata: Metadata
    spec: dict[str, Any] = Field(default_factory=dict)
    status: JobStatus = Field(default_factory=JobStatus)
