"""Bugs of gangs in a queue of Kueue's: each takes away one guard of their quota."""

from __future__ import annotations

from typing import Any

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_operator.plan import create
from llmtrain_operator.scheduling import kueue, kueue_rooms
from llmtrain_operator.scheduling.kueue_objects import SeenWorkload
from llmtrain_operator.types import ADMITTED, Admission, Manifest


@mutant
def kueue_is_not_waited_for(patch: Patch) -> None:
    async def decide(*_: object) -> Admission:
        return ADMITTED

    patch.setattr(kueue.KueueQueue, "decide", decide)


@mutant
def evictions_go_unheard(patch: Patch) -> None:
    patch.setattr(kueue.KueueQueue, "wants_back", lambda *_: "")


@mutant
def quota_is_given_back_under_pods(patch: Patch) -> None:
    async def none(*_: object) -> bool:
        return False

    patch.setattr(kueue_rooms.Rooms, "pods_left", none)


@mutant
def pods_go_to_any_node(patch: Patch) -> None:
    def anywhere(pod: Manifest, _: object) -> Manifest:
        return pod

    patch.setattr(create, "placed", anywhere)


@mutant
def the_deactivated_ask_again(patch: Patch) -> None:
    patch.setattr(SeenWorkload, "active", property(lambda _: True))


@mutant
def a_forged_workload_counts(patch: Patch) -> None:
    patch.setattr(kueue, "asks_for", lambda *_: True)


@mutant
def kueue_never_hears_of_an_end(patch: Patch) -> None:
    async def nothing(*_: Any) -> bool:
        return True

    patch.setattr(kueue.KueueQueue, "_tidy", nothing)
