"""Lives of jobs whose users know better than the operator what follows from a failure."""

from __future__ import annotations

from collections.abc import Callable

from harness.simulation.steps import BOOM, CASCADE, CONFIG, Expected, rank
from harness.simulation.world import World

FAIL = {"log": "boom", "action": "Fail"}
AGAIN = {"classes": ["ConfigError"], "action": "Restart"}
ELSEWHERE = {"classes": ["UserError"], "action": "RestartAvoidingNode"}


def a_rule_ends_the_job(world: World) -> None:
    world.apply(recovery={"rules": [FAIL]})
    world.up()
    world.end(rank(world, 1), 1, BOOM)
    world.end(rank(world, 0), 1, CASCADE)


def a_rule_starts_it_again(world: World) -> None:
    world.apply(recovery={"rules": [AGAIN]})
    world.up()
    world.end(rank(world, 1), 78, CONFIG)
    world.end(rank(world, 0), 1, CASCADE)


def a_rule_keeps_it_off_a_node(world: World) -> None:
    """What is avoided is on record before the first pod of the next attempt is created."""
    world.apply(recovery={"maxRestarts": 0, "rules": [ELSEWHERE]})
    world.up()
    guilty = rank(world, 1)["spec"]["nodeName"]
    world.end(rank(world, 1), 1, BOOM)
    world.end(rank(world, 0), 1, CASCADE)
    world.until("the next gang", lambda: world.status()["attempt"] == 1 and len(world.gang()) == 2)
    for pod in world.gang():
        off = pod["spec"]["affinity"].get("nodeAffinity", {})
        terms = off.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        named = [field["values"] for term in terms for field in term["preference"]["matchFields"]]
        assert named == [[guilty]], f"pods of the next attempt keep off {named}"


RULE_SCENARIOS: dict[Callable[[World], None], Expected] = {
    a_rule_ends_the_job: Expected("Failed"),
    a_rule_starts_it_again: Expected("Succeeded", 1, 4),
    a_rule_keeps_it_off_a_node: Expected("Succeeded", 1, 4),
}
