"""Bugs of what platform teams say for jobs: each takes away one guard of a job's runtime."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from harness.simulation.mutants.planted import Patch, mutant, without

from llmtrain_operator.plan import rerun, runtime, setup, situation, status
from llmtrain_operator.runtimes import catalogue
from llmtrain_operator.types import Observed


@mutant
def a_job_begins_without_its_runtime(patch: Patch) -> None:
    without(patch, runtime.await_runtime)


@mutant
def bounds_are_not_looked_at(patch: Patch) -> None:
    patch.setattr(situation, "out_of_bounds", lambda *_: ())


@mutant
def the_runtime_of_now_counts_for_jobs_that_run(patch: Patch) -> None:
    def now(seen: Observed) -> Any:
        return seen.runtime.found if seen.runtime is not None else None

    patch.setattr(situation, "in_force", now)


@mutant
def who_waits_for_a_runtime_is_not_woken(patch: Patch) -> None:
    patch.setattr(catalogue.Runtimes, "_changed", lambda *_: None)


@mutant
def a_rerun_takes_the_old_runtime(patch: Patch) -> None:
    patch.setattr(rerun, "renewed", lambda s: (s.status.runtime, None))


@mutant
def a_rerun_goes_beyond_the_bounds_of_now(patch: Patch) -> None:
    patch.setattr(runtime, "out_of_bounds", lambda *_: ())


@mutant
def what_prepares_goes_on_under_the_old_runtime(patch: Patch) -> None:
    def same(s: situation.Situation) -> bool:
        record = s.status.setup
        return record is not None and record.generation == s.job.metadata.generation

    # the package has a function of that name
    patch.setattr(import_module("llmtrain_operator.plan.begin"), "is_for_this_spec", same)
    patch.setattr(setup, "is_for_this_spec", same)


@mutant
def nobody_is_told_that_the_runtime_has_changed(patch: Patch) -> None:
    patch.setattr(status, "with_runtime_note", lambda _, found: found)


@mutant
def the_clusters_runtime_is_taken_before_the_namespaces(patch: Patch) -> None:
    honest = catalogue._named

    def only_the_clusters(objects: Any, namespace: str, name: str) -> Any:
        return None if namespace else honest(objects, namespace, name)

    patch.setattr(catalogue, "_named", only_the_clusters)
