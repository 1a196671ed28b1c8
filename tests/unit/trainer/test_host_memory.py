"""Memory that copies go into is used again once nobody needs them, and never before."""

from __future__ import annotations

from typing import Any

import torch

from llmtrain_trainer.checkpoint.host_memory import WORTH_LOCKING, HostMemory
from llmtrain_trainer.checkpoint.snapshot import snapshot


def room(locked: list[int]) -> HostMemory:
    """As on a GPU, for a CPU's tensors."""

    def lock(buffer: torch.Tensor) -> bool:
        locked.append(buffer.numel() * buffer.element_size())
        return False  # refused: works all the same

    return HostMemory("cpu", lock)


def state(step: int) -> dict[str, Any]:
    large = torch.full((WORTH_LOCKING // 4,), float(step))
    return {"weight": large, "tied": large, "moments": [large + 1, torch.tensor(step)], "step": step}


def test_the_next_save_is_copied_into_the_same_memory() -> None:
    locked: list[int] = []
    kept = room(locked)
    first = snapshot(state(1), kept)
    addresses = {first["weight"].data_ptr(), first["moments"][0].data_ptr()}
    assert len(addresses) == 2
    assert first["tied"] is first["weight"]
    kept.give_back()
    second = snapshot(state(2), kept)
    assert {second["weight"].data_ptr(), second["moments"][0].data_ptr()} == addresses
    assert float(second["weight"][0]) == 2
    assert float(second["moments"][0][-1]) == 3
    assert int(second["moments"][1]) == 2
    assert locked == [WORTH_LOCKING] * 2  # once, and only what is worth it


def test_memory_that_is_in_use_is_left_alone() -> None:
    kept = room([])
    first = snapshot(state(1), kept)
    second = snapshot(state(2), kept)
    assert float(first["weight"][0]) == 1
    assert float(second["weight"][0]) == 2


def test_memory_that_was_given_back_twice_serves_one_copy() -> None:
    kept = room([])
    snapshot(state(0), kept)
    kept.give_back()
    kept.give_back()
    first = snapshot(state(1), kept)
    snapshot(state(2), kept)
    assert float(first["weight"][0]) == 1


def test_a_cpus_copies_keep_no_memory() -> None:
    kept = HostMemory(lock=lambda _buffer: (_ for _ in ()).throw(AssertionError("not on a CPU")))
    first = snapshot(state(1), kept)
    kept.give_back()
    second = snapshot(state(2), kept)
    assert float(first["weight"][0]) == 1
    assert float(second["weight"][0]) == 2
