"""What the engine needs of a Kubernetes API. `http` is the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from llmtrain_api.names import GROUP, PLURAL, VERSION

Object = dict[str, Any]

PREFIXES: dict[str, str] = {
    "pods": "/api/v1",
    "services": "/api/v1",
    "configmaps": "/api/v1",
    "secrets": "/api/v1",
    "events": "/api/v1",
    PLURAL: f"/apis/{GROUP}/{VERSION}",
}


class ApiError(Exception):
    """The API server said no.

    Attributes:
        status: HTTP status; 0 when no answer came.
        reason: the machine-readable reason, such as ``AlreadyExists``.
        message: the server's words.
        retry_after: seconds it asked us to wait.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Listing:
    """Raw items of a list and the version of the whole."""

    items: list[bytes]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the raw object."""

    kind: str
    object: bytes


class ClusterApi(Protocol):
    """Every call raises `ApiError`. ``namespace=""`` means all namespaces where a list or watch allows it."""

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Read one object."""
        ...

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create one object."""
        ...

    async def delete(self, resource: str, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        """Delete one object, and only the one with that UID."""
        ...

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        """JSON merge patch of ``/status``. With ``metadata.resourceVersion`` in it, 409 if it has moved."""
        ...

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        """All objects that match a label selector."""
        ...

    def watch(
        self, resource: str, namespace: str, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes since a version, until the server or a time-out ends the stream."""
        ...
