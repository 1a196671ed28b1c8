"""A random life of a job under faults. All of it follows from one number:

python -m harness.simulation.schedule SEED
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field

from harness.simulation.acts import ACTS, HOUR, Episode, apply
from harness.simulation.chaos import WATCH_FAULTS
from harness.simulation.expected_phase import model_refused, unjustified
from harness.simulation.monitor import Broken
from harness.simulation.quiet import silence
from harness.simulation.world import World


def live(seed: int) -> World:
    """One episode, to its end.

    Raises:
        Broken: an invariant does not hold; the world's timeline is attached as ``timeline``.
    """
    random.seed(seed)  # the operator's own jitter
    rng = random.Random(seed)
    world = World(seed)
    episode = Episode(world, rng)
    weights = [weight for weight, _ in ACTS]
    acts = [act for _, act in ACTS]
    try:
        world.sidecars = rng.random() < 0.2
        world.kubelet_ahead = rng.choice([0.0, 0.0, 0.0, HOUR, -HOUR])
        world.operator_ahead = rng.choice([0.0, 0.0, 0.0, HOUR, -HOUR])
        world.start_operator()
        apply(episode)
        world.chaos.rate = rng.choice([0.0, 0.1, 0.3])
        if rng.random() < 0.5:
            # nothing is lost for good: then minutes must do to converge
            world.chaos.watch_faults = tuple(f for f in WATCH_FAULTS if f != "watch-loss")
        for _ in range(rng.randint(7, 21)):
            rng.choices(acts, weights)[0](episode)
            if world.operator is None:
                world.run(rng.uniform(0.0, 5.0))
                world.start_operator()
            world.run(rng.choice([0.0, 0.1, 1.0]))
        quiesce(episode)
        world.settle()
        judge_end(episode)
    except (Broken, AssertionError) as error:
        error.timeline = world.timeline  # type: ignore[attr-defined]
        raise
    finally:
        world.close()
    return world


def quiesce(episode: Episode) -> None:
    """The world stands still and answers: now the phase must be the one that the pods justify."""
    world = episode.world
    world.all_is_well()
    world.start_operator()
    world.run(60.0)
    world.start_operator()  # a death that was on its way may have come
    world.collect_garbage()
    world.run(120.0)
    if not world.timeline.faults["watch-loss"] and (reason := unjustified(world, soon=True)):
        raise Broken(f"minutes later: {reason}")
    world.run(530.0)
    world.api.close_watches()  # as a server does every few minutes: whoever missed something lists anew
    world.run(180.0)  # and may then wait for another pod's end, which could be the cause
    reason = unjustified(world)
    if reason:
        raise Broken(reason)
    if (world.job() or {"spec": {}})["spec"].get("suspend"):
        world.suspend(False)


def judge_end(episode: Episode) -> None:
    world, status = episode.world, episode.world.status()
    phase = world.phase()
    if phase == "Failed":
        failure = status["failure"]
        if episode.limited and "gave up after" in failure.get("hint", ""):
            return
        if episode.may_fail and failure["class"] == "ConfigError":
            return
        raise Broken(f"Failed without a reason: {failure}")
    if phase == "Pending" and episode.may_fail and model_refused(world):
        return
    expected = "Deleted" if world.job() is None else "Pending" if episode.wrong else "Succeeded"
    if phase != expected:
        raise Broken(f"ended as {phase}, not {expected}: {status.get('failure')}")


@dataclass
class Tally:
    """What many lives came to."""

    episodes: int = 0
    events: list[int] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    reached: set[tuple[str, str]] = field(default_factory=set)
    failures: list[tuple[int, str, str]] = field(default_factory=list)


def tally(seeds: range) -> Tally:
    """Live through all of them; stops after the third that fails."""
    silence()
    found = Tally()
    for seed in seeds:
        try:
            timeline = live(seed).timeline
        except AssertionError as error:
            timeline = error.timeline  # type: ignore[attr-defined]
            found.failures.append((seed, str(error), timeline.page()))
            if len(found.failures) > 2:
                break
        found.episodes += 1
        found.events.append(len(timeline.lines))
        for kind, count in timeline.faults.items():
            found.faults[kind] = found.faults.get(kind, 0) + count
        found.reached |= timeline.reached
    return found


if __name__ == "__main__":
    report = tally(range(int(sys.argv[1]), int(sys.argv[1]) + 1))
    for number, message, page in report.failures:
        print(f"{page}\n\nseed {number}: {message}")
    sys.exit(1 if report.failures else print(f"seed {sys.argv[1]}: {report.events[0]} events, nothing broke"))
