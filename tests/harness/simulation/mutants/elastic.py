"""Bugs of elastic gangs: each takes away one guard of jobs that may have fewer nodes than they want."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.simulation.mutants.planted import Patch, mutant, without

from llmtrain_api import JobSpec, JobStatus, Resolved
from llmtrain_operator.plan import elastic, situation, sizes
from llmtrain_operator.scheduling import admit, claims
from llmtrain_operator.scheduling.values import Claim
from llmtrain_operator.types import Admission


@mutant
def a_smaller_gang_is_never_made(patch: Patch) -> None:
    """It waits for all nodes, as if `minNodes` were not there."""
    honest = claims.size_of

    def size_of(spec: JobSpec, status: JobStatus) -> claims.Size:
        found = honest(spec, status)
        return found if found.least is None else found._replace(least=found.nodes)

    patch.setattr(claims, "size_of", size_of)


@mutant
def less_than_the_least_is_made(patch: Patch) -> None:
    honest = claims.size_of

    def size_of(spec: JobSpec, status: JobStatus) -> claims.Size:
        found = honest(spec, status)
        return found if found.least is None else found._replace(least=1)

    patch.setattr(claims, "size_of", size_of)


@mutant
def the_size_of_a_next_gang_is_not_decided(patch: Patch) -> None:
    without(patch, elastic.fit)


@mutant
def a_gang_stays_small(patch: Patch) -> None:
    without(patch, elastic.resize)


@mutant
def it_grows_as_soon_as_it_can(patch: Patch) -> None:
    patch.setattr(elastic, "seconds_to_grow", lambda _: 0.0)


@mutant
def the_layout_is_not_decided_again(patch: Patch) -> None:
    def same(known: Resolved, *_: object) -> Resolved:
        return known

    patch.setattr(sizes, "resolved_for", same)


@mutant
def who_grows_passes_who_waits(patch: Patch) -> None:
    def grow(self: Any, claim: Claim) -> Admission:
        return Admission(True, nodes=claim.nodes + min(self.ledger.room(claim.demand), 1))

    patch.setattr(admit._Round, "grow", grow)


@mutant
def room_is_not_kept_for_who_grows(patch: Patch) -> None:
    honest = claims.size_of

    def size_of(spec: JobSpec, status: JobStatus) -> claims.Size:
        found = honest(spec, status)
        stops = bool(status.attempts) and status.attempts[-1].stopping_at is not None
        return found._replace(nodes=status.workers.desired) if stops and status.workers else found

    patch.setattr(claims, "size_of", size_of)


@mutant
def who_starts_again_loses_its_room(patch: Patch) -> None:
    """Others in the queue choose before it."""
    honest = admit.admit

    def behind(holders: Any, queue: Any, view: Any) -> dict[str, Admission]:
        held, asks = list(holders), list(queue)
        again = [replace(c, refits=False) for c in held if c.refits]
        return honest([c for c in held if not c.refits], [*asks, *again], view)

    from llmtrain_operator.scheduling import default

    patch.setattr(default, "admit", behind)


@mutant
def pods_that_did_not_get_up_are_asked_for_again(patch: Patch) -> None:
    from llmtrain_operator.plan import start_deadline

    patch.setattr(start_deadline, "with_most", lambda _, closed, __: closed)


@mutant
def pods_of_a_larger_gang_are_strangers(patch: Patch) -> None:
    honest = situation.is_pod_of

    def only_now(job: Any, pod: Any) -> bool:
        workers = job.status.workers
        beyond = pod.stage is None and workers is not None and pod.rank >= workers.desired
        return not beyond and honest(job, pod)

    patch.setattr(situation, "is_pod_of", only_now)
