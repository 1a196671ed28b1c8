"""Gradients in lasting buckets: which share one, when each is sent, and what they hold."""

from __future__ import annotations

from typing import Any

import deepspeed
import pytest
import torch

from llmtrain_trainer.parallel.reducer import GradientReducer, buckets_of


class Sent:
    """Takes the place of the other ranks: doubles what is sent, as one equal rank would, when waited for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.waited = 0

    def all_reduce(self, tensor: torch.Tensor, *, async_op: bool) -> Any:
        assert async_op
        self.sizes.append(tensor.numel())
        return Message(self, tensor)


class Message:
    """A tensor that is under way."""

    def __init__(self, sent: Sent, tensor: torch.Tensor) -> None:
        self.sent, self.tensor = sent, tensor

    def wait(self) -> None:
        self.sent.waited += 1
        self.tensor.mul_(2)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found = Sent()
    monkeypatch.setattr(deepspeed.comm, "all_reduce", found.all_reduce)
    return found


def _parameters(*sizes: int) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(size)) for size in sizes]


def test_buckets_begin_with_the_last_parameter_and_have_room_for_some() -> None:
    assert buckets_of([2, 2, 2, 2], 4) == [[3, 2], [1, 0]]
    assert buckets_of([3, 1, 3], 4) == [[2, 1], [0]]


def test_a_parameter_that_no_bucket_has_room_for_has_one_of_its_own() -> None:
    assert buckets_of([1, 9, 1], 4) == [[2], [1], [0]]


def test_each_parameter_is_in_one_bucket() -> None:
    sizes = [5, 1, 7, 3, 3, 8, 2]
    for room in range(1, 30):
        places = [place for bucket in buckets_of(sizes, room) for place in bucket]
        assert places == list(reversed(range(len(sizes))))


def test_gradients_are_sums_over_passes_and_ranks(sent: Sent) -> None:
    first, second = parameters = _parameters(2, 3)
    reducer = GradientReducer(parameters, 3)
    for step in range(2):
        reducer.begin()
        (first.sum() + 3 * second.sum()).backward()
        assert not sent.sizes[2 * step :]
        reducer.begin()  # between passes nothing begins
        with reducer.last_pass():
            (first.sum() + 3 * second.sum()).backward()
        assert first.grad is not None
        assert second.grad is not None
        assert first.grad.tolist() == [4.0] * 2
        assert second.grad.tolist() == [12.0] * 3
        assert sorted(float(one.sum()) for one in reducer.sums) == [8.0, 36.0]
        for parameter in parameters:  # as an engine does after its update
            parameter.grad = None
        reducer.end()
    assert sent.sizes == [3, 2, 3, 2]
    assert sent.waited == 4


def test_buckets_are_sent_in_one_order_whichever_is_whole_first(sent: Sent) -> None:
    """Here the first parameter's gradient comes first, and its bucket is the last one."""
    first, second, third = parameters = _parameters(1, 2, 3)
    reducer = GradientReducer(parameters, 1)
    reducer.begin()
    order = list[int]()
    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(lambda p: order.append(p.numel()))
    with reducer.last_pass():
        first.sum().backward()
        assert not sent.sizes
        third.sum().backward()
        assert sent.sizes == [3]
        second.sum().backward()
        assert sent.sizes == [3, 2, 1]
    assert order == [1, 3, 2]


def test_what_nothing_depends_on_in_a_pass_is_sent_all_the_same(sent: Sent) -> None:
    first, second = parameters = _parameters(1, 2)
    reducer = GradientReducer(parameters, 1)
    reducer.begin()
    with reducer.last_pass():
        first.sum().backward()
    assert sent.sizes == [2, 1]
    assert second.grad is not None
    assert second.grad.tolist() == [0.0, 0.0]


def test_what_is_frozen_is_left_alone(sent: Sent) -> None:
    first, second = parameters = _parameters(1, 2)
    first.requires_grad_(False)
    reducer = GradientReducer(parameters, 10)
    reducer.begin()
    with reducer.last_pass():
        second.sum().backward()
    assert first.grad is None
    assert sent.sizes == [2]
