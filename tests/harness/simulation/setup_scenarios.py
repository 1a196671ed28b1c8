"""Lives of a job whose data are prepared before its gang is created, told step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.control import owner_of, pod_body
from harness.jobs import SHAPE
from harness.simulation.cluster_faults import lose_node
from harness.simulation.podview import NAMESPACE, alive, phase_of
from harness.simulation.steps import BOOM, CONFIG, Expected
from harness.simulation.virtual import at_once
from harness.simulation.world import World, inspected

from llmtrain_api import ProgressReport, Stage
from llmtrain_api.names import LABEL_JOB, LABEL_JOB_UID, LABEL_MANAGED_BY, LABEL_STAGE, MANAGER, PLURAL
from llmtrain_operator.kube.api import ApiError, Object
from llmtrain_operator.types import JobRef

FIRST: dict[str, Any] = {"prepare": {"nodes": 1}}
HUB: dict[str, Any] = {"model": {"name": "somebody/some-model"}}
MANAGED = {LABEL_MANAGED_BY: MANAGER}


def setup_runs(world: World, number: int = 0, stage: str = "prepare") -> Object:
    """Until the pod of that number runs, and it is on record that it was there; nobody ends it."""
    world.setup_hangs = True
    name = f"tiny-{stage}-{number}"

    def running() -> list[Object]:
        found = (p for p in world.setup_pods() if p["metadata"]["name"] == name)
        return [p for p in found if phase_of(p) == "Running"]

    def recorded() -> bool:
        record = world.status().get("setup") or {}
        return record.get("number") == number and "createdAt" in record

    world.until(f"{name} runs", lambda: bool(running()) and recorded())
    return running()[0]


def followed(world: World, charge: str, words: str) -> None:
    """Until another pod is on record, with what happened to the one before."""
    world.until("another pod", lambda: world.status()["setup"]["number"] == 1)
    setup, failure = world.status()["setup"], world.status()["failure"]
    assert setup["restarts"][charge] == setup["restarts"]["total"] == 1, setup
    assert words in failure["message"], failure
    assert "rank" not in failure, failure


def edit(world: World, **fields: Any) -> None:
    spec = dict(world.job()["spec"], **fields)  # type: ignore[index]
    world.api.replace_spec(PLURAL, NAMESPACE, "tiny", spec)


def data_are_prepared_first(world: World) -> None:
    world.apply(**FIRST)
    world.until("Preparing", lambda: world.phase() == "Preparing")
    assert "attempt" not in world.status()


def preparation_reports(world: World) -> None:
    world.apply(**FIRST)
    setup_runs(world)
    world.start_operator()
    job = world.job()
    assert job is not None
    assert world.operator is not None
    uid = job["metadata"]["uid"]
    report = ProgressReport(job_uid=uid, attempt=0, stage=Stage.PREPARE)
    assert world.operator.book.record(JobRef(NAMESPACE, "tiny", uid), report, world.clock(), before_gang=True)
    world.operator.queue.add((NAMESPACE, "tiny"))
    world.run(5.0)
    # another operator than the one that was told has heard nothing
    if world.chaos.fatal is None:
        assert world.status()["progress"]["stage"] == "prepare", world.status()
    world.setup_hangs = False
    world.up()
    assert "progress" not in world.status(), "what was said before the gang is not what the gang says"


def preparation_fails_once(world: World) -> None:
    world.apply(**FIRST)
    world.end(setup_runs(world), 1, BOOM)
    followed(world, "application", "boom")


def preparation_runs_out_of_memory(world: World) -> None:
    world.apply(**FIRST)
    world.end(setup_runs(world), 137, "", "OOMKilled")
    followed(world, "application", "data preparation used more memory")
    assert "prepare.resources.memory" in world.status()["failure"]["hint"]


def preparation_is_deleted(world: World) -> None:
    world.apply(**FIRST)
    world.delete_pod(setup_runs(world), 0)
    followed(world, "infrastructure", "data preparation")


def preparation_is_drained(world: World) -> None:
    world.apply(**FIRST)
    world.evict(setup_runs(world))
    followed(world, "infrastructure", "drain")


def the_node_that_prepares_loses_its_power(world: World) -> None:
    """Nobody ends its pod: the next one waits until the name is freed by force."""
    world.apply(**FIRST)
    lose_node(world, setup_runs(world))
    world.evict_from_silent_nodes()
    world.until("another pod", lambda: world.status()["setup"]["number"] == 1)
    world.until("it is told", lambda: "OldPods" in str(world.status().get("waiting", "")))
    setup_runs(world, 1)


def preparation_cannot_be(world: World) -> None:
    world.apply(**FIRST)
    world.end(setup_runs(world), 78, CONFIG)
    world.until("Failed", lambda: world.phase() == "Failed")
    assert world.status()["failure"]["class"] == "ConfigError"


def preparation_fails_too_often(world: World) -> None:
    world.apply(recovery={"maxRestarts": 1}, **FIRST)
    for number in (0, 1):
        world.end(setup_runs(world, number), 1, BOOM)
    world.until("Failed", lambda: world.phase() == "Failed")
    assert "recovery.maxRestarts" in world.status()["failure"]["hint"]


def nodes_that_prepare_are_lost_too_often(world: World) -> None:
    world.apply(recovery={"maxInfrastructureRestarts": 1}, **FIRST)
    for number in (0, 1):
        world.delete_pod(setup_runs(world, number), 0)
    world.until("Failed", lambda: world.phase() == "Failed")
    assert "recovery.maxInfrastructureRestarts" in world.status()["failure"]["hint"]


def refused_before_the_gang(world: World) -> None:
    world.chaos.refuse = lambda resource, _: (
        ApiError(403, "Forbidden", "violates PodSecurity") if resource == "pods" else None
    )
    world.apply(**FIRST)
    world.until("Failed", lambda: world.phase() == "Failed")


def deleted_while_preparing(world: World) -> None:
    world.apply(**FIRST)
    setup_runs(world)
    world.delete_job()


def edited_while_preparing(world: World) -> None:
    world.apply(**FIRST)
    setup_runs(world)
    edit(world, training={"maxSteps": 20, "sequenceLength": 64})
    setup_runs(world, 1)


def edited_after_preparing(world: World) -> None:
    """The data of the spec before are no data of this one."""
    world.apply(**FIRST)
    pod = setup_runs(world)
    world.kill_operator()
    world.end(pod, 0, "")
    edit(world, training={"maxSteps": 20, "sequenceLength": 64})
    setup_runs(world, 1)


def preparing_is_no_longer_wanted(world: World) -> None:
    world.apply(**FIRST)
    setup_runs(world)
    edit(world, prepare={"nodes": 0})
    world.up()


def made_wrong_while_preparing(world: World) -> None:
    world.apply(**FIRST)
    setup_runs(world)
    edit(world, output={"uri": "file:///tmp/x"})
    world.until("nothing runs", lambda: world.phase() == "Pending" and not any(map(alive, world.pods())))
    assert "endedAt" in world.status()["setup"]


def made_wrong_and_put_right(world: World) -> None:
    made_wrong_while_preparing(world)
    edit(world, output={"uri": "pvc://checkpoints/x"})


def a_stranger_has_the_name(world: World) -> None:
    at_once(world.api.create("pods", NAMESPACE, pod_body("tiny-prepare-0", {})))
    world.apply(**FIRST)
    world.until("it is told", lambda: (world.status().get("waiting") or {}).get("reason") == "NameConflict")
    stranger = world.api.peek("pods", NAMESPACE, "tiny-prepare-0")
    assert stranger is not None
    at_once(world.api.delete("pods", NAMESPACE, "tiny-prepare-0", stranger["metadata"]["uid"], 0))


def sidecars_run_on_before_the_gang(world: World) -> None:
    world.sidecars = True
    world.apply(**FIRST)
    world.up()
    assert not any(p["status"]["phase"] == "Running" for p in world.setup_pods())


def inspection_runs(world: World, number: int = 0) -> Object:
    return setup_runs(world, number, "inspect")


def refused_for(world: World, words: str) -> None:
    """Until that is told, and nothing runs."""

    def told() -> bool:
        found = [c for c in world.status().get("conditions", []) if c["type"] == "Accepted"]
        return bool(found) and found[0]["status"] == "False" and words in found[0]["message"]

    world.until(f"it is refused: {words}", told)
    assert world.phase() == "Pending"
    assert "attempt" not in world.status()


def the_model_is_looked_at_first(world: World) -> None:
    world.apply(**HUB)
    world.until("Inspecting", lambda: world.phase() == "Inspecting")
    accepted = world.status()["conditions"][0]
    assert (accepted["type"], accepted["status"]) == ("Accepted", "Unknown")
    world.up()
    assert world.status()["resolved"]["model"]["shape"]["layers"] == 2


def then_data_are_prepared(world: World) -> None:
    world.apply(**HUB, **FIRST)
    world.until("Preparing", lambda: world.phase() == "Preparing")
    assert world.status()["resolved"]["model"]["revision"] == "c" * 40


def the_model_does_not_fit_the_job(world: World) -> None:
    """Heads that tensor parallelism does not divide are known by the inspection alone."""
    world.apply(**HUB, parallelism={"tensor": 2})
    odd = inspected(shape=SHAPE | {"heads": 3, "kvHeads": 3})
    world.end(inspection_runs(world), 0, odd)
    refused_for(world, "spec.parallelism: tensor 2 does not divide num_attention_heads of its config.json 3")


def then_the_job_is_made_to_fit(world: World) -> None:
    the_model_does_not_fit_the_job(world)
    edit(world, parallelism={"tensor": 1})


def there_is_no_such_model(world: World) -> None:
    world.apply(**HUB)
    world.end(inspection_runs(world), 78, CONFIG)
    refused_for(world, "no such file")


def facts_are_too_large(world: World) -> None:
    world.apply(**HUB)
    world.end(inspection_runs(world), 0, inspected(more="x" * 1500))
    refused_for(world, "of at most 1500")


def facts_are_not_what_they_should_be(world: World) -> None:
    world.apply(**HUB)
    world.end(inspection_runs(world), 0, inspected(shape=SHAPE | {"layers": -1}))
    refused_for(world, "facts.shape.layers")


def facts_name_no_commit(world: World) -> None:
    """Each restart could find another model."""
    world.apply(**HUB)
    world.end(inspection_runs(world), 0, inspected(revision=None))
    refused_for(world, "no commit")


def there_are_no_facts(world: World) -> None:
    world.apply(**HUB)
    world.end(inspection_runs(world), 0, "not JSON")
    refused_for(world, "no facts")


def the_inspection_is_drained(world: World) -> None:
    world.apply(**HUB)
    world.evict(inspection_runs(world))
    followed(world, "infrastructure", "drain")


def inspections_fail_too_often(world: World) -> None:
    world.apply(recovery={"maxRestarts": 0}, **HUB)
    world.end(inspection_runs(world), 1, BOOM)
    world.until("Failed", lambda: world.phase() == "Failed")
    assert "recovery.maxRestarts" in world.status()["failure"]["hint"]


def deleted_while_inspecting(world: World) -> None:
    world.apply(**HUB)
    inspection_runs(world)
    world.delete_job()


def another_model_while_inspecting(world: World) -> None:
    world.apply(**HUB)
    inspection_runs(world)
    edit(world, model={"name": "somebody/another-model"})
    inspection_runs(world, 1)


def a_built_in_model_while_inspecting(world: World) -> None:
    world.apply(**HUB)
    inspection_runs(world)
    edit(world, model={"name": "builtin://tiny-llama"})
    world.up()
    assert "model" not in world.status()["resolved"]


def edited_while_preparing_an_inspected_model(world: World) -> None:
    """What was found of the model of before is forgotten: it is looked at once more."""
    world.apply(**HUB, **FIRST)
    world.until("Preparing", lambda: world.phase() == "Preparing")
    setup_runs(world, 1)
    edit(world, model={"name": "somebody/another-model"})
    inspection_runs(world, 2)


def a_stranger_tells_facts(world: World) -> None:
    """A pod of that name that is no child of the job, and one that says it is in another namespace."""
    world.apply(**HUB)
    inspection_runs(world)
    job = world.job()
    assert job is not None
    labels = {LABEL_JOB: "tiny", LABEL_JOB_UID: job["metadata"]["uid"], LABEL_STAGE: "inspect"}
    owned = owner_of(job["metadata"]["uid"])
    for namespace, name, owned_by in (
        (NAMESPACE, "tiny-inspect-9", None),
        ("attacker", "tiny-inspect-0", owned),
    ):
        at_once(world.api.create("pods", namespace, pod_body(name, MANAGED | labels, owned_by)))
        ended = {"exitCode": 0, "message": inspected(digest="f" * 64)}
        container = {"name": "trainer", "state": {"terminated": ended}}
        forged = {"status": {"phase": "Succeeded", "containerStatuses": [container]}}
        at_once(world.api.patch_status("pods", namespace, name, forged))
    world.start_operator()
    world.run(30.0)
    assert world.phase() == "Inspecting"
    world.setup_hangs = False
    world.up()
    assert world.status()["resolved"]["model"]["digest"] == "0" * 64


SETUP_SCENARIOS: dict[Callable[[World], None], Expected] = {
    data_are_prepared_first: Expected("Succeeded", setups=1),
    preparation_reports: Expected("Succeeded", setups=1),
    preparation_fails_once: Expected("Succeeded", setups=2),
    preparation_runs_out_of_memory: Expected("Succeeded", setups=2),
    preparation_is_deleted: Expected("Succeeded", setups=2),
    preparation_is_drained: Expected("Succeeded", setups=2),
    the_node_that_prepares_loses_its_power: Expected("Succeeded", setups=2),
    preparation_cannot_be: Expected("Failed", pods=0, setups=1),
    preparation_fails_too_often: Expected("Failed", pods=0, setups=2),
    nodes_that_prepare_are_lost_too_often: Expected("Failed", pods=0, setups=2),
    refused_before_the_gang: Expected("Failed", pods=0),
    deleted_while_preparing: Expected("Deleted", pods=0, setups=1),
    edited_while_preparing: Expected("Succeeded", setups=2),
    edited_after_preparing: Expected("Succeeded", setups=2),
    preparing_is_no_longer_wanted: Expected("Succeeded", setups=1),
    made_wrong_while_preparing: Expected("Pending", pods=0, setups=1),
    made_wrong_and_put_right: Expected("Succeeded", setups=2),
    a_stranger_has_the_name: Expected("Succeeded", setups=1),
    sidecars_run_on_before_the_gang: Expected("Succeeded", setups=1),
    the_model_is_looked_at_first: Expected("Succeeded", setups=1),
    then_data_are_prepared: Expected("Succeeded", setups=2),
    the_model_does_not_fit_the_job: Expected("Pending", pods=0, setups=1),
    then_the_job_is_made_to_fit: Expected("Succeeded", setups=2),
    there_is_no_such_model: Expected("Pending", pods=0, setups=1),
    facts_are_too_large: Expected("Pending", pods=0, setups=1),
    facts_are_not_what_they_should_be: Expected("Pending", pods=0, setups=1),
    facts_name_no_commit: Expected("Pending", pods=0, setups=1),
    there_are_no_facts: Expected("Pending", pods=0, setups=1),
    the_inspection_is_drained: Expected("Succeeded", setups=2),
    inspections_fail_too_often: Expected("Failed", pods=0, setups=1),
    deleted_while_inspecting: Expected("Deleted", pods=0, setups=1),
    another_model_while_inspecting: Expected("Succeeded", setups=2),
    a_built_in_model_while_inspecting: Expected("Succeeded", setups=1),
    edited_while_preparing_an_inspected_model: Expected("Succeeded", setups=4),
    a_stranger_tells_facts: Expected("Succeeded", setups=1),
}
