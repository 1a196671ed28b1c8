"""The bugs. Each takes away one guard of the operator that protects a user's job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from harness.jobs import SETTINGS

from llmtrain_api import Job, JobStatus
from llmtrain_operator import plan
from llmtrain_operator.engine import apply, reconcile
from llmtrain_operator.kube import reflector, store
from llmtrain_operator.kube.api import ApiError, Object
from llmtrain_operator.plan import create, finish, restart
from llmtrain_operator.types import Observed, Plan, Pod, Refusal, RefusalKind

Patch = pytest.MonkeyPatch
MUTANTS: dict[str, Callable[[Patch], None]] = {}


def mutant(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    MUTANTS[plant.__name__] = plant
    return plant


def without(patch: Patch, policy: object) -> None:
    """`plan` without one of its policies."""
    patch.setattr(plan, "POLICIES", tuple(p for p in plan.POLICIES if p is not policy))


# -- the attempt as a fence -------------------------------------------------------------------------------


@mutant
def resource_version_is_not_sent(patch: Patch) -> None:
    async def write(self: apply.Applier, job: Job, raw: Object, status: JobStatus) -> bool:
        body = {"status": apply.merge_patch(raw, status.to_json())}
        if not body["status"]:
            return False
        await self._api.patch_status(apply.PLURAL, job.metadata.namespace, job.metadata.name, body)
        return True

    patch.setattr(apply.Applier, "write_status", write)


@mutant
def already_exists_is_taken_as_success(patch: Patch) -> None:
    async def ours(*_: object) -> None:
        return None

    patch.setattr(apply.Applier, "_already_there", ours)


@mutant
def acts_before_it_writes(patch: Patch) -> None:
    honest_write, honest_act = apply.Applier.write_status, apply.Applier.act

    async def write(self: apply.Applier, job: Job, raw: Object, status: JobStatus) -> bool:
        fresh = status.attempt is not None and status.attempt != job.status.attempt
        if fresh:
            # the next attempt's pods, before it is on record
            ahead = job.model_copy(update={"status": status})
            seen = Observed(ahead, (), None, None, SETTINGS)
            await honest_act(self, ahead, plan.plan(seen, status.attempts[-1].started_at).actions)
        return await honest_write(self, job, raw, status)

    patch.setattr(apply.Applier, "write_status", write)


@mutant
def attempt_number_is_used_again(patch: Patch) -> None:
    honest = restart.next_attempt

    def same(*words: Any, **named: Any) -> JobStatus:
        status = honest(*words, **named)
        record = status.attempts[-1].model_copy(update={"number": words[0].attempt})
        return status.model_copy(
            update={"attempt": words[0].attempt, "attempts": [*status.attempts[:-2], record]}
        )

    patch.setattr(restart, "next_attempt", same)


@mutant
def restart_is_counted_in_memory(patch: Patch) -> None:
    honest, counted = restart.next_attempt, {"restarts": 0}

    def count(*words: Any, **named: Any) -> JobStatus:
        counted["restarts"] += 1
        status = honest(*words, **named)
        assert status.restarts is not None
        total = status.restarts.model_copy(update={"total": counted["restarts"]})
        return status.model_copy(update={"restarts": total})

    patch.setattr(restart, "next_attempt", count)


@mutant
def old_gang_is_not_waited_for(patch: Patch) -> None:
    without(patch, create.clear_old_attempts)


@mutant
def a_lost_pod_is_created_again(patch: Patch) -> None:
    honest = restart.evidence

    def only_what_is_there(s: Any, *rest: Any) -> Any:
        return [e for e in honest(s, *rest) if e.rank in s.current]

    def gang(s: Any) -> Plan | None:
        missing = [rank for rank in range(s.nodes) if rank not in s.current]
        if s.spec is None or not missing or s.stale:
            return honest_gang(s)
        return Plan(s.status, tuple(create._creations(s, s.spec, missing)))

    honest_gang = create.create_gang
    patch.setattr(restart, "evidence", only_what_is_there)
    patch.setattr(plan, "POLICIES", tuple(gang if p is honest_gang else p for p in plan.POLICIES))


# -- what is known of the pods ----------------------------------------------------------------------------


@mutant
def plans_before_the_first_list(patch: Patch) -> None:
    honest = reconcile.Reconciler.run

    async def run(self: reconcile.Reconciler, workers: int, *_: asyncio.Event) -> None:
        await honest(self, workers)

    async def nothing(_: object) -> None:
        return None

    patch.setattr(reconcile.Reconciler, "run", run)
    patch.setattr(reflector.Reflector, "list_again", nothing)


@mutant
def a_list_drops_what_is_newer(patch: Patch) -> None:
    honest = store.PodStore.replace

    def drop(self: store.PodStore, listed: Any, _: int) -> list[Pod]:
        return honest(self, listed, 10**12)

    patch.setattr(store.PodStore, "replace", drop)


@mutant
def older_versions_replace_newer_ones(patch: Patch) -> None:
    honest = store.PodStore.upsert

    def upsert(self: store.PodStore, pod: Pod) -> bool:
        known = self.get(pod.uid)
        if known is not None:
            self._pods[pod.uid] = replace(known, resource_version=-1)
        return honest(self, pod)

    patch.setattr(store.PodStore, "upsert", upsert)


@mutant
def the_deleted_come_back(patch: Patch) -> None:
    honest = store.PodStore.remove

    def remove(self: store.PodStore, *words: Any) -> Pod | None:
        found = honest(self, *words)
        self._gone.clear()
        return found

    patch.setattr(store.PodStore, "remove", remove)


@mutant
def deletions_between_two_lists_go_unnoticed(patch: Patch) -> None:
    def replace_all(self: store.PodStore, listed: Any, _: int) -> list[Pod]:
        return [pod for pod in listed if self.upsert(pod)]

    patch.setattr(store.PodStore, "replace", replace_all)


@mutant
def never_lists_again(patch: Patch) -> None:
    patch.setattr(reflector, "RELIST_SECONDS", 1e12)


@mutant
def a_410_is_ignored(patch: Patch) -> None:
    honest = reflector.PodReflector._watch

    async def watch(self: reflector.PodReflector, version: str) -> str:
        try:
            return await honest(self, version)
        except ApiError as error:
            if error.status != 410:
                raise
            await asyncio.sleep(1.0)
            return version

    patch.setattr(reflector.PodReflector, "_watch", watch)
    patch.setattr(reflector, "RELIST_SECONDS", 1e12)


@mutant
def a_gang_starts_without_a_fresh_look(patch: Patch) -> None:
    async def nothing_new(*_: object) -> bool:
        return False

    patch.setattr(apply.Applier, "learns_of_pods", nothing_new)


# -- the end, and the ways there --------------------------------------------------------------------------


@mutant
def a_finished_job_is_looked_at_again(patch: Patch) -> None:
    without(patch, finish.close)


@mutant
def quota_fails_the_job(patch: Patch) -> None:
    honest = apply.as_refusal

    def as_refusal(error: ApiError) -> Refusal | None:
        found = honest(error)
        return None if found is None else replace(found, kind=RefusalKind.REJECTED)

    patch.setattr(apply, "as_refusal", as_refusal)


@mutant
def a_deletion_is_asked_for_without_pause(patch: Patch) -> None:
    async def delete(self: apply.Applier, job: Job, action: Any) -> None:
        try:
            where = job.metadata.namespace
            await self._api.delete("pods", where, action.name, action.uid, action.grace_seconds)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    patch.setattr(apply.Applier, "_delete", delete)
    patch.setattr(reconcile, "DELETED_RETRY_SECONDS", 0.0)
