"""Bugs of what users' rules decide, and of the nodes that an attempt keeps off."""

from __future__ import annotations

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_operator.plan import attempts, restart


@mutant
def rules_are_not_read(patch: Patch) -> None:
    patch.setattr(restart, "action_of", lambda *_: None)


@mutant
def a_rule_does_not_choose_who_pays(patch: Patch) -> None:
    patch.setattr(restart, "charge_with", lambda failure, _: attempts.charge_of(failure))


@mutant
def avoided_nodes_are_not_on_record(patch: Patch) -> None:
    patch.setattr(restart, "with_avoided_nodes", lambda status, _: status)
