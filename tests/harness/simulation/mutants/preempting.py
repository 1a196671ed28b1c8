"""Bugs of preemption: each takes away one guard of jobs that more urgent ones might end."""

from __future__ import annotations

from typing import Any

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_operator.scheduling import admit, preempt
from llmtrain_operator.scheduling.values import Claim


@mutant
def nobody_is_ended_for_another(patch: Patch) -> None:
    patch.setattr(admit, "victims", lambda *_: [])


@mutant
def who_did_not_agree_is_ended_too(patch: Patch) -> None:
    def may_go(claim: Claim, first: Claim) -> bool:
        return not claim.leaves and claim.priority < first.priority

    patch.setattr(preempt, "_may_go", may_go)


@mutant
def equals_are_ended_too(patch: Patch) -> None:
    def may_go(claim: Claim, first: Claim) -> bool:
        return claim.yields and not claim.leaves and claim.priority <= first.priority

    patch.setattr(preempt, "_may_go", may_go)


@mutant
def gangs_are_ended_in_vain(patch: Patch) -> None:
    def all_of_them(_: object, first: Claim, running: Any) -> list[Claim]:
        return [claim for claim, _ in running if preempt._may_go(claim, first)]

    patch.setattr(admit, "victims", all_of_them)


@mutant
def who_leaves_is_not_counted_on(patch: Patch) -> None:
    """While the first saves, another is ended for the same room."""
    honest = preempt.victims

    def impatient(ledger: Any, first: Claim, running: Any) -> list[Claim]:
        return honest(ledger, first, [(c, p) for c, p in running if not c.leaves])

    patch.setattr(admit, "victims", impatient)
