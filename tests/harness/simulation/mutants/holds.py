"""Bugs of gangs that are held for a person to look around in."""

from __future__ import annotations

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_operator.plan import debug_hold, elastic, restart, waiting
from llmtrain_operator.progress import latest


@mutant
def a_hold_is_not_told(patch: Patch) -> None:
    patch.setattr(waiting, "held_for_debugging", lambda _: None)


@mutant
def a_hold_is_forgotten_with_its_report(patch: Patch) -> None:
    real = debug_hold.held_for_debugging
    patch.setattr(
        waiting,
        "held_for_debugging",
        lambda s: real(s) if s.seen.report is not None and s.seen.report.report.held else None,
    )


@mutant
def a_hold_is_taken_for_an_end(patch: Patch) -> None:
    """The next attempt begins while the pods of the one before run."""
    real = restart.evidence

    def found(s: restart.Situation) -> list[restart.Evidence]:
        held = debug_hold.held_for_debugging(s) is not None
        return real(s) or ([restart.of_missing(0, "tiny-0-0")] if held else [])

    patch.setattr(restart, "evidence", found)


@mutant
def the_echo_hides_what_failed(patch: Patch) -> None:
    patch.setattr(latest, "_held", lambda _, new: new)


@mutant
def a_held_gang_grows(patch: Patch) -> None:
    patch.setattr(elastic, "held_for_debugging", lambda _: None)
