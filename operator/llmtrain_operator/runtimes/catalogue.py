"""All runtimes, kept true by reflectors, and the one that each job is under."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llmtrain_api import Job
from llmtrain_api.names import (
    CLUSTER_RUNTIME_KIND,
    CLUSTER_RUNTIME_PLURAL,
    RUNTIME_KIND,
    RUNTIME_PLURAL,
)

from ..kube.api import ClusterApi
from ..kube.reflector import Reflector
from ..scheduling.cluster import Objects
from ..types import SeenRuntime
from .objects import RuntimeObject, decode_runtime

Key = tuple[str, str]
"""(namespace, name)."""
MISSING, NOT_READABLE, NOT_ALLOWED, UNKNOWN = (
    "RuntimeMissing",
    "RuntimeNotReadable",
    "RuntimeNotForNamespace",
    "RuntimesNotListed",
)
NOT_KNOWN_YET = SeenRuntime()


class Runtimes:
    """Runtimes of namespaces and of the cluster.

    A job that names one gets that of its namespace before that of the cluster; one that names none gets the
    installation's, which is one of the cluster: nobody can put another in its place.

    Args:
        api: the API server.
        wake: has a job looked at.
        namespace: only runtimes of it, beside those of the cluster; empty = all.
        default: name of the one of the cluster for jobs that name none; empty = none.
    """

    def __init__(
        self, api: ClusterApi, wake: Callable[[Key], None], namespace: str = "", default: str = ""
    ) -> None:
        self._wake, self._default = wake, default
        self._own: Objects[RuntimeObject] = Objects()
        self._clusters: Objects[RuntimeObject] = Objects()
        self._asked: dict[Key, str] = {}
        self._of_namespaces = Reflector(
            api, RUNTIME_PLURAL, "", decode_runtime, self._own, self._changed, namespace
        )
        self._of_cluster = Reflector(
            api, CLUSTER_RUNTIME_PLURAL, "", decode_runtime, self._clusters, self._changed
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._of_namespaces.run())
            group.create_task(self._of_cluster.run())

    def of(self, job: Job) -> SeenRuntime | None:
        """The runtime that a job asks for; None where it asks for none."""
        key = (job.metadata.namespace, job.metadata.name)
        named = job.spec.get("runtime")
        name = named if isinstance(named, str) and named else self._default
        if not name:
            self._asked.pop(key, None)
            return None
        self._asked[key] = name
        if named:
            unsure = _unsure(self._of_namespaces, RUNTIME_KIND)
            if unsure is not None:
                return unsure
            own = _named(self._own, key[0], name)
            if own is not None:
                return _seen(own, RUNTIME_KIND, key[0])
        unsure = _unsure(self._of_cluster, CLUSTER_RUNTIME_KIND)
        if unsure is not None:
            return unsure
        found = _named(self._clusters, "", name)
        return (
            _missing(name, key[0], bool(named))
            if found is None
            else _seen(found, CLUSTER_RUNTIME_KIND, key[0])
        )

    def forget(self, key: Key) -> None:
        """The job of that namespace and name is gone."""
        self._asked.pop(key, None)

    def _changed(self, runtime: RuntimeObject) -> None:
        """Have all jobs looked at that ask for it."""
        for key, name in list(self._asked.items()):
            if name == runtime.name and runtime.namespace in ("", key[0]):
                self._wake(key)


def _named(objects: Objects[RuntimeObject], namespace: str, name: str) -> RuntimeObject | None:
    return next(
        (one for one in objects.items.values() if one.name == name and one.namespace == namespace), None
    )


def _unsure(reflector: Reflector[RuntimeObject], kind: str) -> SeenRuntime | None:
    """Why it is not known which there are; None where it is. Where the API server has no such kind there are
    none, and what was listed once and is not to be listed any more is not trusted."""
    if reflector.missing:
        return None
    if reflector.denied:
        return SeenRuntime(
            reason=UNKNOWN,
            message=f"the operator may not list {kind}s, so it is not known what the job may do; whoever "
            "runs the operator has to give it that right (the chart does)",
        )
    return None if reflector.synced.is_set() else NOT_KNOWN_YET


def _seen(runtime: RuntimeObject, kind: str, namespace: str) -> SeenRuntime:
    title = f"{kind} {runtime.name}"
    if runtime.namespaces and namespace not in runtime.namespaces:
        return SeenRuntime(
            reason=NOT_ALLOWED,
            message=f"spec.runtime: {title} is not for jobs of namespace {namespace}; name another, or ask "
            "whoever keeps it to add the namespace to its spec.namespaces",
        )
    if runtime.found is None:
        return SeenRuntime(
            reason=NOT_READABLE,
            message=f"spec.runtime: {title} cannot be used: {'; '.join(runtime.mistakes)}; whoever keeps it "
            "has to put it right",
        )
    return SeenRuntime(found=runtime.found)


def _missing(name: str, namespace: str, named: bool) -> SeenRuntime:
    if not named:
        text = (
            f"the job names no runtime, and there is no {CLUSTER_RUNTIME_KIND} {name}, which the "
            "installation gives to such jobs; the job begins once there is one"
        )
    else:
        text = (
            f"spec.runtime: there is no {RUNTIME_KIND} {name} in namespace {namespace} and no "
            f"{CLUSTER_RUNTIME_KIND} {name}; correct the name, or create it: the job begins once there is one"
        )
    return SeenRuntime(reason=MISSING, message=text)
