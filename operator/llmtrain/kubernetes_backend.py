"""`Backend` of a cluster: the job's object, its pods, their logs and events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

from llmtrain_api import Job
from llmtrain_api.names import GROUP, PLURAL, SWEEP_PLURAL, VERSION

from .cluster import JOBS, ApiServer
from .errors import AlreadyThere, NotFound, Unsupported, did_you_mean
from .lacking import lacking
from .pod_logs import PodLogs
from .values import Event, LogLine, LogRequest, Object

PRESET_KINDS = ("LLMTrainingRuntime", "ClusterLLMTrainingRuntime")
MERGE = "application/merge-patch+json"
WATCH_SECONDS = 300.0


class KubernetesBackend:
    """Jobs of a cluster.

    Args:
        server: the cluster's API server.
        namespace: that is meant where none is given; None: the context's.
    """

    def __init__(self, server: ApiServer, namespace: str | None = None) -> None:
        self._server = server
        self._namespace = namespace or server.namespace

    @property
    def namespace(self) -> str:
        """The namespace that is meant where none is given."""
        return self._namespace

    def create(self, document: Object, *, dry_run: bool = False) -> Object:
        """Create a job; with ``dry_run`` the server only says what would come of it."""
        namespace = document["metadata"].get("namespace") or self._namespace
        query = {"dryRun": "All"} if dry_run else {}
        try:
            return self._server.call("POST", _jobs(namespace), body=document, query=query)
        except AlreadyThere:
            name = document["metadata"]["name"]
            raise AlreadyThere(
                f"job {name} already exists in namespace {namespace}: use another --name, or `llmtrain "
                f"delete {name}` first (output.ifExists says what then becomes of its folder)"
            ) from None

    def lacking(self, job: Job) -> list[str]:
        """Secrets and claims that are not there, and quotas that do not take the gang."""
        return list(lacking(self._server, job))

    def create_sweep(self, document: Object, *, dry_run: bool = False) -> Object:
        """Create a sweep; with ``dry_run`` the server only says what would come of it."""
        meta = document["metadata"]
        namespace = meta.get("namespace") or self._namespace
        try:
            return self._server.call(
                "POST", _sweeps(namespace), body=document, query={"dryRun": "All"} if dry_run else {}
            )
        except AlreadyThere:
            raise AlreadyThere(
                f"sweep {meta['name']} already exists in namespace {namespace}: give it another name, or "
                f"kubectl delete llmsweep {meta['name']} first"
            ) from None

    def sweep(self, namespace: str, name: str) -> Object:
        """Read one sweep."""
        try:
            return self._server.call("GET", _sweeps(namespace, name))
        except NotFound:
            raise NotFound(f"there is no sweep {name} in namespace {namespace}") from None

    def get(self, namespace: str, name: str) -> Object:
        """Read one job; of one that is not there, the names that are like it are told."""
        try:
            return self._server.call("GET", _jobs(namespace, name))
        except NotFound:
            raise self._no_such_job(namespace, name) from None

    def jobs(self, namespace: str | None) -> list[Object]:
        """The jobs of a namespace, page by page."""
        found: list[Object] = []
        query = {"limit": "500"}
        path = f"{JOBS}/{PLURAL}" if namespace is None else _jobs(namespace)
        while True:
            page = self._server.call("GET", path, query=query)
            # items of a list do not say what they are
            kind = {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List")}
            found += [{**kind, **item} for item in page["items"]]
            more = page["metadata"].get("continue")
            if not more:
                return found
            query["continue"] = more

    def patch(self, namespace: str, name: str, patch: Object) -> Object:
        """JSON merge patch."""
        try:
            return self._server.call("PATCH", _jobs(namespace, name), body=patch, content_type=MERGE)
        except NotFound:
            raise self._no_such_job(namespace, name) from None

    def delete(self, namespace: str, name: str) -> None:
        """Delete a job; its pods go with it."""
        try:
            self._server.call("DELETE", _jobs(namespace, name))
        except NotFound:
            raise self._no_such_job(namespace, name) from None

    def watch(self, namespace: str, name: str, seconds: float) -> Iterator[Object]:
        """The object now and after each change."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get(namespace, name)
            yield found
            yield from self._changes(namespace, name, found["metadata"]["resourceVersion"], deadline)
            if time.monotonic() >= deadline:
                return

    def _changes(self, namespace: str, name: str, version: str, deadline: float) -> Iterator[Object]:
        left = min(max(deadline - time.monotonic(), 1.0), WATCH_SECONDS)
        query = {
            "watch": "1",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "timeoutSeconds": str(int(left)),
        }
        for line in self._server.lines(_jobs(namespace), query, left + 5):
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            if event["type"] == "DELETED":
                raise NotFound(f"job {name} in namespace {namespace} was deleted")
            yield event["object"]

    def events(self, job: Job) -> list[Event]:
        """Events of the job and of its pods, as far as the cluster still keeps them (an hour, mostly)."""
        namespace, name = job.metadata.namespace, job.metadata.name
        path = f"/api/v1/namespaces/{namespace}/events"
        found = self._server.call("GET", path, query={"limit": "2000"})["items"]
        events = [_event(raw) for raw in found if _is_of(raw["involvedObject"], job.metadata.uid, name)]
        return sorted(events, key=lambda e: e.time.timestamp() if e.time else 0.0)

    def logs(self, job: Job, request: LogRequest) -> Iterator[LogLine]:
        """Lines of a pod's log; of one that is gone, what the status kept."""
        return PodLogs(self._server, self).lines(job, request)

    def presets(self, namespace: str) -> list[Object]:
        """What the platform team offers to a namespace, where the cluster knows of such a thing."""
        found: list[Object] = []
        for kind in self._server.call("GET", JOBS)["resources"]:
            if kind["kind"] not in PRESET_KINDS or "/" in kind["name"]:
                continue
            scope = f"{JOBS}/namespaces/{quote(namespace, safe='')}" if kind["namespaced"] else JOBS
            # items of a list do not say what they are
            what = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind["kind"]}
            found += [what | item for item in self._server.call("GET", f"{scope}/{kind['name']}")["items"]]
        return [one for one in found if _is_for(one, namespace)]

    def metrics(self, job: Job) -> list[Object]:
        """The rows lie in the output, which an API server does not show.

        Raises:
            Unsupported: always, with where they lie and what reads them.
        """
        uri = str(job.spec.get("output", {}).get("uri", "")).rstrip("/")
        raise Unsupported(
            f"the curve of {job.metadata.name} lies in {uri}/logs: mount that claim, or fetch the folder, "
            "and read it by llmtrain.runs.metrics_of(FOLDER)"
        )

    def _no_such_job(self, namespace: str, name: str) -> NotFound:
        names = [job["metadata"]["name"] for job in self.jobs(namespace)]
        near = did_you_mean(name, names)
        there = near or (
            "; `llmtrain ls` shows those that are there"
            if names
            else "; that namespace has no jobs (-n NAME)"
        )
        return NotFound(f"no job {name} in namespace {namespace}{there}")


def _jobs(namespace: str, name: str = "") -> str:
    # a name that somebody typed is one step of a path, whatever is in it
    where = f"{JOBS}/namespaces/{quote(namespace, safe='')}/{PLURAL}"
    return f"{where}/{quote(name, safe='')}" if name else where


def _sweeps(namespace: str, name: str = "") -> str:
    where = f"{JOBS}/namespaces/{quote(namespace, safe='')}/{SWEEP_PLURAL}"
    return f"{where}/{quote(name, safe='')}" if name else where


def _is_for(preset: Object, namespace: str) -> bool:
    """Whether jobs of that namespace may name it."""
    named = (preset.get("spec") or {}).get("namespaces") or [namespace]
    return namespace in named


def _is_of(about: Object, uid: str, name: str) -> bool:
    """Whether an event is about the job of that UID, or about one of its pods by the pod's name."""
    if about.get("uid") == uid:
        return True
    job_of_pod = str(about.get("name", "")).rsplit("-", 2)
    return about.get("kind") == "Pod" and len(job_of_pod) == 3 and job_of_pod[0] == name


def _event(raw: Object) -> Event:
    about = raw["involvedObject"]
    moment = raw.get("lastTimestamp") or raw.get("eventTime") or raw["metadata"].get("creationTimestamp")
    return Event(
        time=datetime.fromisoformat(moment) if moment else None,
        kind=str(raw.get("type", "Normal")),
        reason=str(raw.get("reason", "")),
        message=str(raw.get("message", "")),
        count=int(raw.get("count") or 1),
        about=f"pod {about['name']}" if about.get("kind") == "Pod" else "",
    )
