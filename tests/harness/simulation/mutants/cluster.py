"""Bugs of the part that stands against a cluster that misbehaves: each takes away one guard."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_api import Charge, FailureClass, JobStatus
from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID, LABEL_RANK
from llmtrain_operator.engine import apply
from llmtrain_operator.kube import pods, store
from llmtrain_operator.plan import attempts, create, finish, removal, restart, situation
from llmtrain_operator.types import Pod, Refusal, RefusalKind


@mutant
def labels_make_a_rank(patch: Patch) -> None:
    """Neither the controller nor the name of a pod is asked for, when it is read or when it is judged."""

    def place(meta: Any, _: object) -> pods.Place:
        return pods.Place(int(meta.labels[LABEL_ATTEMPT]), int(meta.labels[LABEL_RANK]), None)

    def owner(meta: Any) -> Any:
        return pods._Owner("", "", meta.labels[LABEL_JOB], meta.labels[LABEL_JOB_UID])

    patch.setattr(pods, "_place", place)
    patch.setattr(pods, "_controller", owner)
    patch.setattr(situation, "is_pod_of", lambda *_: True)


@mutant
def a_lost_node_is_waited_for_without_end(patch: Patch) -> None:
    patch.setattr(removal, "overdue", lambda *_: False)


@mutant
def an_echo_is_blamed_at_once(patch: Patch) -> None:
    patch.setattr(restart, "SILENT_RANK_SECONDS", 0.0)


@mutant
def a_silent_node_is_not_noticed(patch: Patch) -> None:
    patch.setattr(pods, "_node_silent", lambda _: False)


@mutant
def a_rank_that_never_ran_is_the_applications_failure(patch: Patch) -> None:
    honest = restart.of_pending
    patch.setattr(restart, "of_pending", lambda pod: replace(honest(pod), failure_class=FailureClass.UNKNOWN))


@mutant
def every_403_is_a_verdict(patch: Patch) -> None:
    honest = apply.classify

    def classify(status: int, message: str) -> Refusal | None:
        found = honest(status, message)
        passing = found is not None and found.kind is RefusalKind.FORBIDDEN
        return replace(found, kind=RefusalKind.REJECTED) if found is not None and passing else found

    patch.setattr(apply, "classify", classify)


@mutant
def trouble_of_the_server_is_not_told(patch: Patch) -> None:
    honest = apply.classify
    patch.setattr(
        apply, "classify", lambda status, message: None if status >= 500 else honest(status, message)
    )


@mutant
def part_of_a_gang_holds_its_nodes(patch: Patch) -> None:
    patch.setattr(create, "_no_room", lambda _: False)


@mutant
def what_found_no_room_is_charged(patch: Patch) -> None:
    honest = create.close_attempt

    def close(s: Any, **words: Any) -> JobStatus:
        return honest(s, **(words | {"charged_to": Charge.INFRASTRUCTURE}))

    patch.setattr(create, "close_attempt", close)


@mutant
def failures_are_not_counted(patch: Patch) -> None:
    patch.setattr(attempts, "_counted", lambda s, *_: s.status.restarts)


@mutant
def the_first_container_is_judged(patch: Patch) -> None:
    def first(status: Any) -> Any:
        return status.container_statuses[0] if status.container_statuses else pods._ContainerStatus()

    patch.setattr(pods, "_trainer", first)


@mutant
def sidecars_run_on_under_a_finished_job(patch: Patch) -> None:
    honest = store.PodStore.upsert

    def upsert(self: store.PodStore, pod: Pod) -> bool:
        return honest(self, replace(pod, others_run=False))

    patch.setattr(store.PodStore, "upsert", upsert)


@mutant
def waits_trust_the_clocks_of_pods(patch: Patch) -> None:
    def left(since: datetime, length: float, now: datetime) -> float:
        return (since + timedelta(seconds=length) - now).total_seconds()

    patch.setattr(finish, "seconds_left", left)


@mutant
def a_grace_time_is_over_by_another_clock(patch: Patch) -> None:
    """A pod is removed by force once the API server's clock says so, by the operator's clock."""

    def overdue(s: Any, pod: Pod, _: int) -> bool:
        limit = timedelta(seconds=s.seen.settings.lost_node_seconds)
        return pod.deletion_deadline is not None and s.now - pod.deletion_deadline >= limit

    patch.setattr(removal, "overdue", overdue)
