"""Bugs of what is read of the Events of pods that do not start."""

from __future__ import annotations

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_operator.engine import pod_words
from llmtrain_operator.plan import status


@mutant
def nobody_looks_again_at_a_pod_that_is_set_up(patch: Patch) -> None:
    patch.setattr(status, "seconds_to_word", lambda _: None)


@mutant
def events_of_a_pod_are_not_read(patch: Patch) -> None:
    patch.setattr(pod_words, "word_of", lambda *_: None)


@mutant
def a_role_that_may_not_read_events_stops_the_job(patch: Patch) -> None:
    patch.setattr(pod_words, "ApiError", KeyError)
