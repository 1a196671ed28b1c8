"""The only writer of jobs' objects: a plan's status, then its actions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

import orjson
import structlog

from llmtrain_api import Job, JobStatus
from llmtrain_api.names import LABEL_JOB_UID, PLURAL

from ..kube.api import ApiError, ClusterApi, Object
from ..kube.jobs import JobStore, seen_job
from ..kube.pods import decode_rank, place_of
from ..kube.store import PodStore
from ..plan.refusals import classify
from ..types import (
    Action,
    CreateChild,
    CreatePod,
    DeleteChild,
    DeleteJob,
    DeletePod,
    Manifest,
    Refusal,
    RefusalKind,
)
from .certainty import Certainty
from .known_jobs import ref
from .merge_patch import merge_patch

log = structlog.get_logger()
R = TypeVar("R")
MOST_AT_ONCE = 64
"""Pods of a job: as many calls as ever are under way."""


class Applier:
    """Carries out plans."""

    def __init__(self, api: ClusterApi, store: PodStore, jobs: JobStore) -> None:
        self._api = api
        self._store = store
        self._jobs = jobs
        self._certain = Certainty()

    async def write_status(self, job: Job, raw_status: Object, status: JobStatus) -> bool:
        """Patch ``/status`` if it differs. Returns whether it was written.

        The patch carries the resourceVersion that the plan was made on: whoever has moved the object in the
        meantime makes this a 409, and the job is planned again from what is there then.

        Raises:
            ApiError: 409 among them.
        """
        if status == job.status:
            return False
        patch = merge_patch(raw_status, status.to_json())
        if not patch:
            return False
        meta = job.metadata
        body = {"metadata": {"resourceVersion": meta.resource_version}, "status": patch}
        try:
            written = await self._api.patch_status(PLURAL, meta.namespace, meta.name, body)
        except ApiError:
            # somebody else has moved it, or what became of the write is not known
            self._jobs.doubt((meta.namespace, meta.name))
            self._certain.doubt(meta.uid)
            raise
        self._jobs.upsert(seen_job(written))
        self._certain.wrote(meta.uid, job.status, status)
        return True

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self._certain.doubt(uid)

    def knows_pods(self, job: Job) -> bool:
        """Whether all pods that the job may have are known, without a question to the API server."""
        return job.metadata.uid in self._certain

    async def learns_of_pods(self, job: Job) -> bool | Refusal:
        """Ask the API server itself for the job's pods. Returns whether any of them is news, or its no.

        A create may have been carried out though its answer was lost, and its event may be late: without
        this, the next gang could start beside a pod that nobody knows of.

        Raises:
            ApiError: it could not be asked.
        """
        selector = f"{LABEL_JOB_UID}={job.metadata.uid}"
        try:
            listing = await self._api.list("pods", job.metadata.namespace, selector)
        except ApiError as error:
            return refused_or_raise(error)
        self._certain.listed(job.metadata.uid)
        found = [pod for pod in map(decode_rank, listing.items) if pod is not None]
        news = [pod for pod in found if self._store.upsert(pod)]
        return bool(news)

    async def act(self, job: Job, actions: tuple[Action, ...]) -> Refusal | None:
        """Carry out actions: children that pods need first, in order; then deletions and new pods.

        Returns:
            The first no of the API server; the rest of the plan is left for the next one.

        Raises:
            ApiError: what is neither success nor a refusal to be told to the user.
        """
        for action in actions:
            refusal = await self._prepare(job, action)
            if refusal is not None:
                return refusal
        deletions = (self._delete(job, action) for action in actions if isinstance(action, DeletePod))
        refused = [answer for answer in await _all(deletions) if answer is not None]
        if refused:
            return refused[0]
        for action in actions:
            if isinstance(action, DeleteJob):
                return await self._delete_job(job, action)
        return await self._create_pods(job, [a for a in actions if isinstance(a, CreatePod)])

    async def _prepare(self, job: Job, action: Action) -> Refusal | None:
        if isinstance(action, CreateChild):
            return await self._create(job, action.resource, action.manifest)
        if isinstance(action, DeleteChild):
            await self._delete_child(job, action)
        return None

    async def _create_pods(self, job: Job, pods: list[CreatePod]) -> Refusal | None:
        """One, then one more at the same time for each that is made, up to the first no: a gang that has no
        room costs few calls. What is under way then is brought to its end.
        """
        left, ends = iter(pods), list[Refusal | Exception]()

        async def make() -> None:
            for pod in left:
                try:
                    refusal = await self._create(job, "pods", pod.manifest)
                except Exception as error:
                    ends.append(error)
                    return
                if refusal is not None:
                    ends.append(refusal)
                if ends:
                    return
                if len(makers) < MOST_AT_ONCE:
                    makers.append(group.create_task(make()))

        async with asyncio.TaskGroup() as group:
            makers = [group.create_task(make())]
        if not ends:
            return None
        if isinstance(ends[0], Exception):
            raise ends[0]
        return ends[0]

    async def _create(self, job: Job, resource: str, manifest: Manifest) -> Refusal | None:
        meta = manifest["metadata"]
        name = meta["name"]
        if resource == "pods" and self._is_lost(job, name):
            # it came and went since the plan was made: the next plan makes a new attempt of it
            return None
        try:
            created = await self._api.create(resource, job.metadata.namespace, manifest)
        except ApiError as error:
            # it may have been carried out, once or before the last of several tries
            self._certain.doubt(job.metadata.uid)
            if error.status == 409 and error.reason == "AlreadyExists":
                return await self._already_there(job, resource, name)
            refusal = refused_or_raise(error)
            log.warning("refused", **_who(job), resource=resource, name=name, reason=refusal.message)
            return refusal
        log.info("created", **_who(job), resource=resource, name=name)
        self._remember(resource, created)
        return None

    def _is_lost(self, job: Job, name: str) -> bool:
        place = place_of(name, job.metadata.name)
        return place is not None and place.rank in self._store.lost(ref(job), place.attempt, place.stage)

    async def _already_there(self, job: Job, resource: str, name: str) -> Refusal | None:
        """A name is ours only if its owner is this very job: one of the same name may just be going."""
        try:
            found = await self._api.get(resource, job.metadata.namespace, name)
        except ApiError as error:
            if error.status == 404:
                return Refusal(RefusalKind.NAME_CONFLICT, f"{resource} {name} has just gone")
            return refused_or_raise(error)
        owners = found["metadata"].get("ownerReferences", [])
        if any(owner.get("uid") == job.metadata.uid for owner in owners):
            self._remember(resource, found)
            return None
        owner = ", ".join(f"{o.get('kind')} {o.get('name')} ({o.get('uid')})" for o in owners) or "nobody"
        return Refusal(
            RefusalKind.NAME_CONFLICT,
            f"{resource} {name} exists and belongs to {owner}; waiting until it is gone",
        )

    def _remember(self, resource: str, created: Object) -> None:
        """Our own writes are known at once, not when the watch tells."""
        pod = decode_rank(orjson.dumps(created)) if resource == "pods" else None
        if pod is not None:
            self._store.upsert(pod)

    async def _delete(self, job: Job, action: DeletePod) -> Refusal | None:
        try:
            await self._api.delete(
                "pods", job.metadata.namespace, action.name, action.uid, action.grace_seconds
            )
            log.info("deleted", **_who(job), resource="pods", name=action.name, grace=action.grace_seconds)
        except ApiError as error:
            # gone already, or another pod has the name by now: either way this one is no more, and nobody
            # needs to wait for the watch to say so
            if error.status in (404, 409):
                self._store.remove(action.uid)
                return None
            if error.status == 0:
                raise
            return Refusal(RefusalKind.DELETION, error.message)
        return None

    async def _delete_job(self, job: Job, action: DeleteJob) -> Refusal | None:
        """Its children go by the garbage collector, as they do when a person deletes it."""
        meta = job.metadata
        self._jobs.doubt((meta.namespace, meta.name))
        try:
            await self._api.delete(PLURAL, meta.namespace, meta.name, action.uid, 0)
            log.info("deleted", **_who(job), resource=PLURAL, name=meta.name)
        except ApiError as error:
            if error.status == 0:
                raise
            if error.status not in (404, 409):
                log.warning("refused", **_who(job), resource=PLURAL, name=meta.name, reason=error.message)
                return Refusal(RefusalKind.DELETION, error.message)
        return None

    async def _delete_child(self, job: Job, action: DeleteChild) -> None:
        """Only this job's own: another object may have the name by now."""
        namespace = job.metadata.namespace
        try:
            found = await self._api.get(action.resource, namespace, action.name)
            meta = found["metadata"]
            if any(owner.get("uid") == job.metadata.uid for owner in meta.get("ownerReferences", [])):
                await self._api.delete(action.resource, namespace, action.name, meta["uid"], 0)
                log.info("deleted", **_who(job), resource=action.resource, name=action.name)
        except ApiError as error:
            if error.status not in (404, 409):
                raise


def as_refusal(error: ApiError) -> Refusal | None:
    """A no that the user must hear of; None for trouble that passes."""
    return classify(error.status, error.message)


def refused_or_raise(error: ApiError) -> Refusal:
    """The answer as a no that is told.

    Raises:
        ApiError: there was no answer.
    """
    refusal = as_refusal(error)
    if refusal is None:
        raise error
    return refusal


async def _all(calls: Iterable[Coroutine[object, object, R]]) -> list[R]:
    """Make all calls at the same time, each to its end.

    Raises:
        ApiError: the first that a call raised.
    """
    answers = await asyncio.gather(*calls, return_exceptions=True)
    found: list[R] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found


def _who(job: Job) -> dict[str, object]:
    return {
        "job": f"{job.metadata.namespace}/{job.metadata.name}",
        "uid": job.metadata.uid,
        "attempt": job.status.attempt,
    }
