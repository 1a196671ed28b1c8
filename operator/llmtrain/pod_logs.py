"""Logs of a job's pods, also when the pods are gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from llmtrain_api import Job
from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB_UID, LABEL_RANK, LABEL_STAGE

from .cluster import ApiServer
from .errors import Failed, Mistake, NotFound
from .values import LogLine, LogRequest, Object

SILENT_SECONDS = 3600.0
"""Of a log that is followed: longer than any stage says nothing."""
FOLLOW_SECONDS = 30 * 86400.0
QUIET_SECONDS = 1.0
"""Before a stream that ended without a line is asked for again."""


class _Jobs(Protocol):
    def watch(self, namespace: str, name: str, seconds: float) -> Iterator[Object]: ...


class PodLogs:
    """Lines of the pods of one job.

    Args:
        server: where the pods are.
        jobs: how a job's next attempt is waited for.
    """

    def __init__(self, server: ApiServer, jobs: _Jobs) -> None:
        self._server, self._jobs = server, jobs

    def lines(self, job: Job, request: LogRequest) -> Iterator[LogLine]:
        """The lines that are asked for; followed, those of the next attempts too, until the job is over."""
        if not request.follow or request.attempt is not None:
            yield from self._once(job, request)
            return
        told: set[str] = set()
        for raw in self._jobs.watch(job.metadata.namespace, job.metadata.name, FOLLOW_SECONDS):
            job = Job.model_validate(raw)
            pod = self._pod(job, request)
            if pod is not None and pod["metadata"]["uid"] not in told and _has_begun(pod):
                told.add(pod["metadata"]["uid"])
                yield from self._of(pod, request)
            if job.status.phase is not None and job.status.phase.final:
                if not told:
                    yield from self._once(job, LogRequest(request.rank, tail=request.tail))
                return

    def _once(self, job: Job, request: LogRequest) -> Iterator[LogLine]:
        pod = self._pod(job, request)
        if pod is not None and _has_begun(pod):
            yield from self._of(pod, request)
            return
        yield from kept(job, request, pod is not None)

    def _of(self, pod: Object, request: LogRequest) -> Iterator[LogLine]:
        name = pod["metadata"]["name"]
        query = {"container": pod["spec"]["containers"][0]["name"]}
        query |= {} if request.tail is None else {"tailLines": str(request.tail)}
        lines = self._followed(pod, query) if request.follow else self._lines(pod, query)
        yield from (LogLine(name, line) for line in lines)

    def _lines(self, pod: Object, query: dict[str, str]) -> Iterator[str]:
        return self._server.lines(f"{_path(pod)}/log", query, SILENT_SECONDS)

    def _followed(self, pod: Object, query: dict[str, str]) -> Iterator[str]:
        """Until its container has ended: a stream that breaks is taken up again where it broke.

        Stamps are of a fixed width, so that they are in order as texts; what is asked for again by the
        second is told once.
        """
        query, last = query | {"follow": "true", "timestamps": "true"}, ""
        while True:
            before = last
            for line in self._lines(pod, query):
                stamp, _, text = line.partition(" ")
                if stamp > last:
                    last = stamp
                    yield text
            if not self._runs(pod):
                return
            if last == before:
                time.sleep(QUIET_SECONDS)
            query = {name: value for name, value in query.items() if name != "tailLines"}
            query |= {"sinceTime": last} if last else {}

    def _runs(self, pod: Object) -> bool:
        try:
            found = self._server.call("GET", _path(pod))
        except NotFound:
            return False
        same = found["metadata"]["uid"] == pod["metadata"]["uid"]
        return same and any("running" in one.get("state", {}) for one in _containers(found))

    def _pod(self, job: Job, request: LogRequest) -> Object | None:
        """The pod whose log is meant, if it is still there; before the first attempt that of its setup."""
        selector = f"{LABEL_JOB_UID}={job.metadata.uid}"
        path = f"/api/v1/namespaces/{job.metadata.namespace}/pods"
        pods = self._server.call("GET", path, query={"labelSelector": selector})["items"]
        attempt = job.status.attempt if request.attempt is None else request.attempt
        if attempt is None:
            setups = [pod for pod in pods if LABEL_STAGE in pod["metadata"]["labels"]]
            return max(setups, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)
        wanted = (str(attempt), str(rank_of(job, request)))
        labels = (LABEL_ATTEMPT, LABEL_RANK)
        return next(
            (p for p in pods if tuple(p["metadata"]["labels"].get(label) for label in labels) == wanted), None
        )


def rank_of(job: Job, request: LogRequest) -> int:
    """The node rank that is meant: of a job that failed the one that failed first, else 0.

    Raises:
        Mistake: the gang has no such rank.
    """
    nodes = int(job.spec.get("nodes", 1))
    if request.rank is not None:
        if not 0 <= request.rank < nodes:
            raise Mistake(f"--rank: got {request.rank}; the gang has {nodes} nodes, use 0 to {nodes - 1}")
        return request.rank
    failure, last = job.status.failure, job.status.phase is not None and job.status.phase.final
    same = request.attempt in (None, job.status.attempt)
    return failure.rank if failure is not None and failure.rank is not None and last and same else 0


def kept(job: Job, request: LogRequest, waits: bool) -> Iterator[LogLine]:
    """What is known of a log without its pod: the end that the status holds, and where the whole lies.

    Args:
        job: the object.
        request: which log.
        waits: whether there is a pod that has not begun.

    Raises:
        Failed: there is no log yet, with what is waited for.
        NotFound: the pod is gone, with where its log lies; or there was no such attempt.
    """
    status, name = job.status, job.metadata.name
    attempt = status.attempt if request.attempt is None else request.attempt
    if attempt is None or waits:
        why = f": {status.waiting.reason}: {status.waiting.message}" if status.waiting else ""
        raise Failed(f"{name} has no log yet{why}; `llmtrain why {name}` tells what it waits for")
    known = [record.number for record in status.attempts]
    if attempt not in known:
        there = f"it has {known[0]} to {known[-1]}" if known else "it has none yet"
        raise NotFound(f"{name} has no attempt {attempt} on record; {there}")
    rank, failure = rank_of(job, request), status.failure
    uri = str(job.spec.get("output", {}).get("uri", "")).rstrip("/")
    where = f"{uri}/logs/attempt-{attempt}"
    failed_last = max((a.number for a in status.attempts if a.failure_class), default=None)
    if failure is not None and failure.log_tail and failure.rank == rank and attempt == failed_last:
        yield LogLine("", f"the pod is gone; this is the end of its log, the rest lies in {where}")
        for line in failure.log_tail.splitlines()[-request.tail if request.tail else 0 :]:
            yield LogLine(f"{name}-{attempt}-{rank}", line)
        return
    raise NotFound(
        f"the pod {name}-{attempt}-{rank} is gone; its log lies in {where}: a file for each rank "
        "(mount the claim, or fetch the folder)"
    )


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _containers(pod: Object) -> list[Object]:
    return list(pod.get("status", {}).get("containerStatuses") or [])


def _has_begun(pod: Object) -> bool:
    return any({"running", "terminated"} & one.get("state", {}).keys() for one in _containers(pod))
