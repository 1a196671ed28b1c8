"""How often the operator calls the API server for a job: counted where every call of it passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from harness.jobs import complete
from harness.simulation.quiet import silence
from harness.simulation.world import STEPS, World

from llmtrain_api import Outcome, TerminationMessage
from llmtrain_api.names import CONTROLLER, LABEL_JOB, PLURAL
from llmtrain_operator.engine.workqueue import Key

RANKS = 4
OF_EVERYBODY = ("services", "pods")
"""What bare pods and a Service for them would cost as well."""
READS = ("get", "list", "watch")


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence()


@pytest.fixture
def world() -> Iterator[World]:
    made = World(0)
    made.start_operator()
    made.run(5.0)
    made.chaos.served.clear()
    yield made
    made.close()


def start(world: World, names: list[str], apart: float) -> None:
    """The ranks of all jobs come up one after the other."""
    for name in names:
        world.apply(RANKS, name)
    world.run(1.0)
    for rank in range(RANKS):
        for name in names:
            world.start(pod(world, name, rank))
            world.run(apart)
    world.run(2.0)
    assert {world.status(name)["phase"] for name in names} == {"Running"}


def finish(world: World, names: list[str]) -> None:
    for rank in reversed(range(RANKS)):
        said = complete(STEPS) if rank == 0 else TerminationMessage(outcome=Outcome.COMPLETE)
        for name in names:
            world.end(pod(world, name, rank), 0, said)
        world.run(0.3)
    world.run(60.0)
    assert {world.status(name)["phase"] for name in names} == {"Succeeded"}


def pod(world: World, name: str, rank: int) -> dict[str, object]:
    found = world.api.peek("pods", "default", f"{name}-0-{rank}")
    assert found is not None
    return found


def reads(served: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    return {call: count for call, count in served.items() if call[0] in READS}


def own_writes(served: Counter[tuple[str, str]]) -> int:
    return sum(n for (verb, what), n in served.items() if verb not in READS and what not in OF_EVERYBODY)


@pytest.mark.parametrize("apart", [0.0, 0.04])
def test_a_job_is_never_read_and_written_nine_times_at_most(world: World, apart: float) -> None:
    names = ["tiny", *(f"job-{n}" for n in range(9))]
    start(world, names, apart)
    finish(world, names)
    served = world.chaos.served
    # quotas are asked for by namespace, every few seconds while gangs wait, however many they are
    assert set(reads(served)) <= {("list", "resourcequotas")}, reads(served)
    assert served["list", "resourcequotas"] <= 2
    assert served["create", "pods"] == RANKS * len(names)
    assert served["create", "services"] == len(names)
    assert own_writes(served) <= 9 * len(names), served
    print(f"{own_writes(served) / len(names)} own writes a job, 0 reads: {dict(served)}")


def test_a_finished_job_costs_nothing(world: World) -> None:
    start(world, ["tiny"], 0.0)
    finish(world, ["tiny"])
    world.chaos.served.clear()
    woken: list[Key] = []
    assert world.operator is not None
    world.operator.queue.add = woken.append  # type: ignore[method-assign,assignment]
    world.run(24 * 3600.0)
    assert not world.chaos.served
    # an hour apart: RESYNC_ROUNDS_OF_FINISHED rounds of RESYNC_SECONDS
    assert len(woken) <= 24
    # a stream that ends after ten minutes is followed by a list of all, however many jobs there are
    world.api.close_watches()
    world.run(60.0)
    assert {verb for verb, _ in world.chaos.served} <= {"list", "watch"}
    assert max(world.chaos.served.values()) <= 2, world.chaos.served


def test_a_job_of_another_controller_is_left_alone(world: World) -> None:
    world.apply(RANKS, "theirs", managedBy="kueue.x-k8s.io/multikueue")
    world.apply(RANKS, "ours", managedBy=CONTROLLER)
    world.run(700.0)
    assert world.status("theirs") == {}
    assert world.status("ours")["phase"] == "Starting"
    assert {pod["metadata"]["labels"][LABEL_JOB] for pod in world.pods()} == {"ours"}


def test_a_gang_is_listed_only_after_a_lost_answer(world: World) -> None:
    """The counterpart of the first test: the same life with one create whose answer and event are lost."""
    world.chaos.unheard = "tiny-0-2"
    world.apply(RANKS)
    world.run(60.0)
    assert world.chaos.served["list", "pods"] == 1
    assert world.chaos.served["create", "pods"] == RANKS
    assert not [call for call in reads(world.chaos.served) if call == ("get", PLURAL)]
