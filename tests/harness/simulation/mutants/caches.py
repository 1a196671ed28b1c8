"""Bugs of deciding on what is remembered, without a question to the API server: each takes away one guard."""

from __future__ import annotations

from typing import Any

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_operator.engine import apply, certainty
from llmtrain_operator.kube import jobs, reflector


@mutant
def a_new_process_is_certain_of_all_pods(patch: Patch) -> None:
    """As if nobody had created any before it."""
    doubted: set[str] = set()
    patch.setattr(certainty.Certainty, "__contains__", lambda _, uid: uid not in doubted)
    patch.setattr(certainty.Certainty, "doubt", lambda _, uid: doubted.add(uid))
    patch.setattr(certainty.Certainty, "listed", lambda _, uid: doubted.discard(uid))


@mutant
def a_lost_answer_leaves_no_doubt_of_pods(patch: Patch) -> None:
    patch.setattr(certainty.Certainty, "doubt", lambda *_: None)


@mutant
def a_job_in_doubt_is_not_read(patch: Patch) -> None:
    patch.setattr(jobs.JobStore, "doubted", lambda *_: False)


@mutant
def a_deleted_job_stays_known(patch: Patch) -> None:
    patch.setattr(jobs.JobStore, "remove", lambda *_: None)


@mutant
def our_own_writes_are_learned_from_the_watch(patch: Patch) -> None:
    """The answer to a write is thrown away."""
    honest = apply.Applier.write_status

    async def write(self: Any, job: Any, raw: Any, status: Any) -> bool:
        upsert = self._jobs.upsert
        self._jobs.upsert = lambda _: False
        try:
            return await honest(self, job, raw, status)
        finally:
            self._jobs.upsert = upsert

    patch.setattr(apply.Applier, "write_status", write)


@mutant
def a_new_leader_trusts_its_caches(patch: Patch) -> None:
    async def nothing(*_: object) -> None:
        return None

    patch.setattr(reflector.Reflector, "list_again", nothing)
