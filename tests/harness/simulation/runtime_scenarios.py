"""Lives of jobs under a runtime that comes late, changes and goes, told step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from harness.simulation.steps import BOOM, CONFIG, Expected, rank
from harness.simulation.virtual import at_once
from harness.simulation.world import World

from llmtrain_api.names import (
    CLUSTER_RUNTIME_KIND,
    CLUSTER_RUNTIME_PLURAL,
    PLURAL,
    RUNTIME_KIND,
    RUNTIME_PLURAL,
)

NAME = "shared"
OLD = {"image": "trainer:old", "annotations": {"example.com/pool": "old"}}
NEW = {"image": "trainer:new", "annotations": {"example.com/pool": "new"}}


def put(world: World, defaults: dict[str, Any], *, own: bool = False, **bounds: Any) -> None:
    """A platform team creates the runtime, or changes it."""
    resource, namespace = (RUNTIME_PLURAL, "default") if own else (CLUSTER_RUNTIME_PLURAL, "")
    spec = {"defaults": defaults, "bounds": bounds}
    world.timeline.tell(world.now(), "platform", f"{resource} {NAME} is now {spec}")
    if world.api.peek(resource, namespace, NAME) is None:
        kind = RUNTIME_KIND if own else CLUSTER_RUNTIME_KIND
        at_once(
            world.api.create(resource, namespace, {"kind": kind, "metadata": {"name": NAME}, "spec": spec})
        )
    else:
        world.api.replace_spec(resource, namespace, NAME, spec)


def take_away(world: World) -> None:
    found = world.api.peek(CLUSTER_RUNTIME_PLURAL, "", NAME)
    assert found is not None
    world.timeline.tell(world.now(), "platform", f"deletes {NAME}")
    at_once(world.api.delete(CLUSTER_RUNTIME_PLURAL, "", NAME, found["metadata"]["uid"], 0))


def pools(world: World) -> set[str]:
    """What the runtime says of the ranks that run: a note, and their image."""
    pods = [(pod["metadata"]["annotations"], pod["spec"]["containers"][0]) for pod in world.gang()]
    return {f"{notes.get('example.com/pool')} {trainer['image']}" for notes, trainer in pods}


def condition(world: World, kind: str) -> dict[str, Any]:
    found = [c for c in world.status().get("conditions", []) if c["type"] == kind]
    return found[0] if found else {}


def waits_for_its_runtime(world: World) -> bool:
    return bool((world.status().get("waiting") or {}).get("reason") == "RuntimeMissing")


def runtime_comes_late(world: World) -> None:
    world.apply(runtime=NAME)
    world.until("waits for its runtime", partial(waits_for_its_runtime, world))
    for _ in range(5):
        world.turn(30.0)
    assert NAME in world.status()["waiting"]["message"]
    assert not world.monitor.created, "a pod without the runtime"
    put(world, OLD)
    world.until("Running", lambda: world.phase() == "Running")
    assert pools(world) == {"old trainer:old"}, pools(world)


def runtime_changes_while_it_runs(world: World) -> None:
    """The attempts that follow are as the first; a rerun is not."""
    put(world, OLD)
    world.apply(runtime=NAME, recovery={"maxRestarts": 1})
    world.up()
    put(world, NEW, maxNodes=1)
    world.until("it is told", lambda: condition(world, "RuntimeChanged").get("status") == "True")
    world.end(rank(world, 1), 1, BOOM)
    world.until("attempt 1 runs", lambda: world.phase() == "Running" and world.status()["attempt"] == 1)
    assert pools(world) == {"old trainer:old"}, pools(world)


def runtime_goes_while_it_runs(world: World) -> None:
    put(world, OLD)
    world.apply(runtime=NAME)
    world.up()
    take_away(world)
    world.until("it is told", lambda: condition(world, "RuntimeChanged").get("reason") == "Gone")


def run_again_under_the_new_runtime(world: World) -> None:
    put(world, OLD)
    world.apply(runtime=NAME)
    world.up()
    world.end(rank(world, 0), 78, CONFIG)
    world.until("Failed", lambda: world.phase() == "Failed")
    put(world, NEW, maxNodes=1)
    world.rerun("once more")
    world.until("told", lambda: (world.status().get("waiting") or {}).get("reason") == "OutOfBounds")
    for _ in range(3):
        world.turn(30.0)
    assert world.status()["attempt"] == 0, "it is run beyond the bounds of now"
    put(world, NEW)
    world.until("attempt 1 runs", lambda: world.phase() == "Running" and world.status()["attempt"] == 1)
    assert pools(world) == {"new trainer:new"}, pools(world)


def beyond_its_bounds_until_it_is_edited(world: World) -> None:
    put(world, OLD, images=["registry.example.com/ml"])
    world.apply(runtime=NAME, image="elsewhere/trainer:1")
    world.until("refused", lambda: condition(world, "Accepted").get("reason") == "OutOfBounds")
    assert "bounds.images" in condition(world, "Accepted")["message"]
    for _ in range(3):
        world.turn(30.0)
    assert not world.monitor.created, "a pod beyond the bounds"
    job = world.job()
    assert job is not None
    spec = {**job["spec"], "image": "registry.example.com/ml/trainer:1"}
    world.api.replace_spec(PLURAL, "default", "tiny", spec)


def bounds_that_grow(world: World) -> None:
    put(world, OLD, maxNodes=1)
    world.apply(runtime=NAME)
    world.until("refused", lambda: condition(world, "Accepted").get("reason") == "OutOfBounds")
    put(world, OLD, maxNodes=2)
    world.until("Running", lambda: world.phase() == "Running")


def runtime_changes_while_it_prepares(world: World) -> None:
    """What prepares begins anew under it, as after an edit of the spec."""
    put(world, OLD)
    world.setup_hangs = True
    world.apply(runtime=NAME, prepare={"nodes": 1})
    world.until("Preparing", lambda: world.phase() == "Preparing" and bool(world.setup_pods()))
    put(world, NEW)
    world.until("again", lambda: (world.status().get("setup") or {}).get("number") == 1)
    world.setup_hangs = False
    world.until("Running", lambda: world.phase() == "Running")
    assert pools(world) == {"new trainer:new"}, pools(world)


def that_of_the_namespace_comes_first(world: World) -> None:
    put(world, OLD)
    put(world, NEW, own=True)
    world.apply(runtime=NAME)
    world.until("Running", lambda: world.phase() == "Running")
    assert pools(world) == {"new trainer:new"}, pools(world)


RUNTIME_SCENARIOS: dict[Callable[[World], None], Expected] = {
    runtime_comes_late: Expected("Succeeded"),
    runtime_changes_while_it_runs: Expected("Succeeded", 1, 4),
    runtime_goes_while_it_runs: Expected("Succeeded"),
    run_again_under_the_new_runtime: Expected("Succeeded", pods=4),
    beyond_its_bounds_until_it_is_edited: Expected("Succeeded"),
    bounds_that_grow: Expected("Succeeded"),
    runtime_changes_while_it_prepares: Expected("Succeeded", setups=2),
    that_of_the_namespace_comes_first: Expected("Succeeded"),
}
