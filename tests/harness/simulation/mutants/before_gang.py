"""Bugs of what comes before the gang: each takes away one guard."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from harness.simulation.mutants.planted import Patch, mutant, without

from llmtrain_api import ModelFacts, Restarts, changed
from llmtrain_operator import plan
from llmtrain_operator.kube import store
from llmtrain_operator.plan import evidence, setup, situation
from llmtrain_operator.plan.begin import is_for_this_spec, refuse, refused
from llmtrain_operator.types import Plan


@mutant
def the_gang_does_not_wait_for_its_data(patch: Patch) -> None:
    without(patch, setup.set_up)


@mutant
def data_of_an_old_spec_are_taken(patch: Patch) -> None:
    patch.setattr(setup, "is_for_this_spec", lambda s: s.status.setup is not None)


@mutant
def what_prepares_is_not_waited_for(patch: Patch) -> None:
    """Neither by the next of its kind nor by the gang."""
    honest = setup._go_on

    def go_on(s: Any, *rest: Any) -> Plan:
        return honest(replace(s, stale=()), *rest)

    patch.setattr(setup, "_go_on", go_on)


@mutant
def what_prepared_for_an_old_spec_runs_beside_the_gang(patch: Patch) -> None:
    patch.setattr(situation, "_may_stay", lambda pod: pod.stage is not None)


@mutant
def a_lost_preparation_is_created_again(patch: Patch) -> None:
    """Under the number that it had."""
    honest = setup._go_on

    def go_on(s: Any, spec: Any, record: Any) -> Plan:
        if not s.current and not s.stale:
            return setup._create(s, spec, record)
        return honest(s, spec, record)

    patch.setattr(setup, "_go_on", go_on)


@mutant
def preparing_fails_at_no_cost(patch: Patch) -> None:
    honest = setup._opened

    def opened(s: Any, spec: Any, stage: Any, _: Any, *rest: Any) -> Any:
        return honest(s, spec, stage, Restarts(), *rest)

    patch.setattr(setup, "_opened", opened)


@mutant
def a_refused_spec_leaves_its_pod(patch: Patch) -> None:
    # the module has the name of a function of it
    patch.setitem(refuse.__globals__, "removals", lambda *_: [])


@mutant
def a_pod_before_the_gang_is_a_rank(patch: Patch) -> None:
    """By its number and 0, as if it were of that attempt."""
    honest = store.PodStore.of_job

    def of_job(self: store.PodStore, job: Any) -> Any:
        return tuple(
            replace(pod, stage=None, name=f"{pod.job}-{pod.attempt}-{pod.rank}") for pod in honest(self, job)
        )

    patch.setattr(store.PodStore, "of_job", of_job)


@mutant
def a_node_that_prepared_is_blamed_on_the_program(patch: Patch) -> None:
    honest = evidence.of_missing

    def of_missing(*words: Any) -> Any:
        return replace(honest(*words), failure_class=evidence.FailureClass.UNKNOWN)

    patch.setattr(setup, "of_missing", of_missing)


@mutant
def the_rules_are_not_asked_with_the_shape(patch: Patch) -> None:
    patch.setattr(setup, "mistake", lambda *_: None)


@mutant
def a_model_that_is_not_there_is_looked_for_again(patch: Patch) -> None:
    honest = setup._another

    def another(s: Any, spec: Any, record: Any, found: Any) -> Plan:
        if record.stage is setup.SetupStage.INSPECT:
            found = replace(found, failure_class=evidence.FailureClass.UNKNOWN)
        return honest(s, spec, record, found)

    patch.setattr(setup, "_another", another)


@mutant
def facts_have_no_bounds(patch: Patch) -> None:
    def read(text: str) -> ModelFacts:
        return ModelFacts.model_validate(json.loads(text)["facts"])

    patch.setattr(setup, "read_facts", read)


@mutant
def a_model_without_a_commit_will_do(patch: Patch) -> None:
    patch.setattr(setup, "facts_of", lambda _, pod: setup.read_facts(pod.termination.message))


@mutant
def what_was_found_of_an_old_model_is_kept(patch: Patch) -> None:
    honest = setup.set_up

    def set_up(s: Any) -> Plan | None:
        known = s.status.resolved is not None and s.status.resolved.model is not None
        if s.attempt is None and known and not is_for_this_spec(s):
            record = changed(s.status.setup, generation=s.job.metadata.generation, ended_at=s.now)
            return Plan(changed(s.status, setup=record))
        return honest(s)

    policies = tuple(set_up if p is honest else p for p in plan.POLICIES)
    patch.setattr(plan, "POLICIES", policies)


@mutant
def a_refused_model_is_looked_at_without_end(patch: Patch) -> None:
    patch.setattr(setup, "REFUSED", "InvalidSpec")
    patch.setattr(setup, "refused", lambda s, _, message: refused(s, "Odd", message))
