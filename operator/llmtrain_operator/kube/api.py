"""What the engine needs of a Kubernetes API. `http` is the real one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from llmtrain_api.names import (
    CLUSTER_RUNTIME_PLURAL,
    GROUP,
    PLURAL,
    RUNTIME_PLURAL,
    SWEEP_PLURAL,
    VERSION,
)

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the API server serves one kind of object.

    Attributes:
        plural: its name in paths, and in RBAC rules.
        group: API group; empty = the core group.
        shared: whether other groups have a kind of that plural.
    """

    plural: str
    group: str
    version: str
    namespaced: bool = True
    shared: bool = False

    @property
    def key(self) -> str:
        """Its name in this program."""
        return f"{self.plural}.{self.group}" if self.shared else self.plural

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of a collection, or of one object. ``namespace=""`` means all namespaces, or none."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


RESOURCES: dict[str, Resource] = {
    r.key: r
    for r in (
        Resource("pods", "", "v1"),
        Resource("services", "", "v1"),
        Resource("configmaps", "", "v1"),
        Resource("secrets", "", "v1"),
        Resource("events", "", "v1"),
        Resource("networkpolicies", "networking.k8s.io", "v1"),
        Resource("nodes", "", "v1", namespaced=False),
        Resource("resourcequotas", "", "v1"),
        Resource("priorityclasses", "scheduling.k8s.io", "v1", namespaced=False),
        Resource("tokenreviews", "authentication.k8s.io", "v1", namespaced=False),
        Resource("leases", "coordination.k8s.io", "v1"),
        Resource(PLURAL, GROUP, VERSION),
        Resource(RUNTIME_PLURAL, GROUP, VERSION),
        Resource(SWEEP_PLURAL, GROUP, VERSION),
        Resource(CLUSTER_RUNTIME_PLURAL, GROUP, VERSION, namespaced=False),
        Resource("workloads", "kueue.x-k8s.io", "v1beta2"),
        Resource("resourceflavors", "kueue.x-k8s.io", "v1beta2", namespaced=False),
        Resource("podgroups", "scheduling.k8s.io", "v1beta1", shared=True),
        Resource("podgroups", "scheduling.volcano.sh", "v1beta1", shared=True),
        Resource("podgroups", "scheduling.x-k8s.io", "v1alpha1", shared=True),
    )
}
"""Every kind that the operator reads or writes; a new kind of child is a row here and a rule in the chart."""


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


class NotLeader(ApiError):
    """The write was not sent: another operator may act by now."""

    def __init__(self) -> None:
        super().__init__(0, "NotLeader", "this operator does not hold the Lease any more")


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


class ListWatch(Protocol):
    """What a cache is kept true with. ``namespace=""`` means all namespaces, where that is allowed."""

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Read one object."""
        ...

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        """All objects that match a label selector."""
        ...

    def watch(
        self, resource: str, namespace: str, selector: str, resource_version: str
    ) -> AsyncGenerator[WatchEvent]:
        """Changes since a version, until the server or a time-out ends the stream."""
        ...


class ClusterApi(ListWatch, Protocol):
    """Every call raises `ApiError`."""

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create one object."""
        ...

    async def delete(self, resource: str, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        """Delete one object, and only the one with that UID."""
        ...

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        """JSON merge patch of ``/status``. With ``metadata.resourceVersion`` in it, 409 if it has moved."""
        ...
