"""The whole object, as a person writes it and as the operator reads it."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, ValidationError

from . import api_json
from .errors import explain
from .names import API_VERSION, KIND
from .rules import mistake
from .rules.entrypoint import left_out
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
MAX_NAMESPACE = 63
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAMESPACE_MESSAGE = (
    f"metadata.namespace must be at most {MAX_NAMESPACE} characters: lowercase letters, digits or '-', "
    "beginning and ending with a letter or digit"
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
    annotations: dict[str, str] = Field(default_factory=dict)
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
        parsed = api_json.read(JobSpec, spec, unknown=not strict)
    except ValidationError as error:
        raise InvalidJob([*explain(error), *left_out(spec)]) from None
    except RecursionError:
        raise InvalidJob(["spec: is nested too deeply; flatten it"]) from None
    if broken := mistake(parsed):
        raise InvalidJob([broken])
    return parsed


class _WrittenMetadata(Metadata):
    """``metadata`` of a manifest: what else the API server knows there is checked, and not kept."""

    generate_name: str = ""
    self_link: str = ""
    deletion_grace_period_seconds: int = 0
    finalizers: list[str] = Field(default_factory=list)
    owner_references: list[Any] = Field(default_factory=list)
    managed_fields: list[Any] = Field(default_factory=list)


class _Manifest(ApiModel):
    api_version: Literal["llmtrain.dev/v1alpha1"]
    kind: Literal["LLMTrainingJob"]
    metadata: _WrittenMetadata
    spec: Any = None
    status: Any = None


def _metadata(document: dict[Any, Any]) -> tuple[Metadata | None, list[str]]:
    """``metadata`` of a manifest, and what is wrong with all of it but ``spec``."""
    try:
        # spec has its own reader, and a status is not for people to write
        found = api_json.read(_Manifest, {k: v for k, v in document.items() if k not in ("spec", "status")})
    except ValidationError as error:
        return None, explain(error, "")
    metadata = Metadata.model_validate(
        {name: getattr(found.metadata, name) for name in Metadata.model_fields}
    )
    mistakes = []
    if len(metadata.name) > MAX_NAME or not NAME.fullmatch(metadata.name):
        mistakes.append(NAME_MESSAGE)
    if len(metadata.namespace) > MAX_NAMESPACE or not NAMESPACE.fullmatch(metadata.namespace):
        mistakes.append(NAMESPACE_MESSAGE)
    return metadata, mistakes


def parse_manifest(document: object) -> tuple[Metadata, JobSpec]:
    """A manifest as a person wrote it, with unknown fields refused.

    Raises:
        InvalidJob: with every mistake found.
    """
    if not isinstance(document, dict):
        raise InvalidJob([f"the document must be a mapping with apiVersion: {API_VERSION} and kind: {KIND}"])
    metadata, mistakes = _metadata(document)
    spec: JobSpec | None = None
    try:
        if document.get("spec") is None:
            raise InvalidJob(["spec: is required"])
        spec = parse_spec(document["spec"], strict=True)
    except InvalidJob as invalid:
        mistakes.extend(invalid.mistakes)
    if metadata is None or spec is None or mistakes:
        raise InvalidJob(mistakes)
    return metadata, spec


class Job(ApiModel):
    """The object as the API server holds it. ``spec`` stays raw: it may be newer than this program."""

    metadata: Metadata
    spec: dict[str, Any] = Field(default_factory=dict)
    status: JobStatus = Field(default_factory=JobStatus)
