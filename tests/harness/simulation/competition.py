"""A random life of several jobs that want the same two nodes, under faults. It follows from one number:

python -m harness.simulation.competition SEED
"""

from __future__ import annotations

import random
import sys
from typing import Any

from harness.jobs import complete
from harness.simulation.monitor import Broken
from harness.simulation.podview import NAMESPACE, alive, going, label, phase_of, size_of
from harness.simulation.queue_scenarios import asks, pods_of
from harness.simulation.quiet import silence
from harness.simulation.steps import BOOM, CONFIG
from harness.simulation.virtual import at_once
from harness.simulation.world import STEPS, World

from llmtrain_api import Outcome, TerminationMessage
from llmtrain_api.names import LABEL_RANK, PLURAL

CPUS = 8
UNLIMITED = {"maxRestarts": 1000, "maxInfrastructureRestarts": 1000}
FINAL = ("Succeeded", "Failed")


class Rivals:
    """The jobs and the dice."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.names: list[str] = []

    def apply(self) -> None:
        name = f"job-{len(self.names)}"
        self.names.append(name)
        more: dict[str, Any] = {"priorityClassName": "high"} if self.rng.random() < 0.3 else {}
        more |= {"preemptible": True} if self.rng.random() < 0.5 else {}
        # the largest of them fills both nodes, so each can start once the others are done
        nodes, cpu = self.rng.choice([(1, 2), (1, 8), (2, 3), (2, 5), (2, 8), (3, 2)])
        if self.rng.random() < 0.3:
            more["minNodes"] = self.rng.randint(1, nodes)
        self.world.apply(nodes, name, recovery=UNLIMITED, **asks(cpu), **more)

    def pick(self) -> str:
        return self.rng.choice(self.names)

    def one_fails(self) -> None:
        pods = [p for p in pods_of(self.world, self.pick()) if phase_of(p) == "Running"]
        if pods:
            self.world.end(self.rng.choice(pods), 1, BOOM)

    def one_is_wrong(self) -> None:
        pods = [p for p in pods_of(self.world, self.pick()) if phase_of(p) == "Running"]
        if pods and self.rng.random() < 0.3:
            self.world.end(self.rng.choice(pods), 78, CONFIG)

    def one_is_deleted(self) -> None:
        name = self.pick()
        if self.rng.random() < 0.3 and self.world.job(name) is not None:
            self.world.delete_job(name)

    def one_is_suspended_or_goes_on(self) -> None:
        job = self.world.job(name := self.pick())
        if job is not None:
            spec = {**job["spec"], "suspend": not job["spec"].get("suspend", False)}
            self.world.api.replace_spec(PLURAL, NAMESPACE, name, spec)

    def one_pod_goes(self) -> None:
        pods = [p for p in pods_of(self.world, self.pick()) if alive(p) and not going(p)]
        if pods:
            self.world.delete_pod(self.rng.choice(pods), self.rng.choice([0, 30]))

    def one_ends_well(self) -> None:
        self.end(self.pick())

    def end(self, name: str) -> None:
        """All of a gang that runs ends well, rank 0 last."""
        job = self.world.job(name)
        gang = [p for p in pods_of(self.world, name) if alive(p)]
        if job is None or len(gang) < size_of(job) or any(phase_of(p) != "Running" for p in gang):
            return
        for pod in sorted(gang, key=lambda p: label(p, LABEL_RANK), reverse=True):
            first = label(pod, LABEL_RANK) == "0"
            self.world.end(pod, 0, complete(STEPS) if first else TerminationMessage(outcome=Outcome.COMPLETE))

    def operator_dies(self) -> None:
        self.world.kill_operator()
        self.world.run(self.rng.uniform(0.0, 20.0))
        self.world.start_operator()

    def operator_dies_at_a_write(self) -> None:
        nth = self.world.chaos.writes + self.rng.randint(1, 4)
        self.world.chaos.fatal = (nth, self.rng.choice(["before", "after"]))

    def weather_changes(self) -> None:
        self.world.chaos.rate = self.rng.choice([0.0, 0.1, 0.3])

    def time_passes(self) -> None:
        for _ in range(self.rng.choice([1, 3, 10])):
            self.world.turn(self.rng.choice([0.5, 2.0, 10.0]))

    def over(self) -> bool:
        return all(
            self.world.status(n).get("phase") in FINAL or self.world.job(n) is None for n in self.names
        )


def compete(seed: int) -> World:
    """One life, to the end of all jobs.

    Raises:
        Broken: an invariant does not hold, or a job never gets its turn.
    """
    random.seed(seed)
    rng, world = random.Random(seed), World(seed)
    rivals = Rivals(world, rng)
    acts = [
        *([rivals.time_passes] * 4),
        *([rivals.apply, rivals.one_ends_well, rivals.operator_dies_at_a_write] * 2),
        rivals.one_fails,
        rivals.one_is_wrong,
        rivals.one_is_deleted,
        rivals.one_is_suspended_or_goes_on,
        rivals.one_pod_goes,
        rivals.operator_dies,
        rivals.weather_changes,
    ]
    try:
        for name in ("n1", "n2"):
            world.set_node(name, str(CPUS))
        at_once(world.api.create("priorityclasses", "", {"metadata": {"name": "high"}, "value": 10}))
        world.start_operator()
        rivals.apply()
        for _ in range(rng.randint(8, 20)):
            rng.choice(acts)()
            world.start_operator()
            world.run(rng.choice([0.0, 0.1, 1.0]))
        _let_all_end(world, rivals)
    except (Broken, AssertionError) as error:
        error.timeline = world.timeline  # type: ignore[attr-defined]
        raise
    finally:
        world.close()
    return world


def _let_all_end(world: World, rivals: Rivals) -> None:
    """From here on all goes well: every job gets its turn."""
    world.all_is_well()
    world.chaos.most_calls += 40_000
    for name in rivals.names:
        job = world.job(name)
        if job is not None and job["spec"].get("suspend"):
            spec = {**job["spec"], "suspend": False}
            world.api.replace_spec(PLURAL, NAMESPACE, name, spec)
    for number in range(900):
        world.turn(5.0)
        if number % 4 == 0:
            for name in rivals.names:
                rivals.end(name)
        if number % 60 == 59:
            world.api.close_watches()
        if rivals.over():
            return
    phases = {name: world.status(name).get("phase") for name in rivals.names if world.job(name)}
    waits = {name: world.status(name).get("waiting") for name in phases}
    raise Broken(f"somebody never gets a turn: {phases} {waits}")


if __name__ == "__main__":
    silence()
    try:
        compete(int(sys.argv[1]))
    except AssertionError as broken:
        print(f"{broken.timeline.page()}\n\nseed {sys.argv[1]}: {broken}")  # type: ignore[attr-defined]
        sys.exit(1)
    print(f"seed {sys.argv[1]}: nothing broke")
