"""What real clusters do to a job: nodes vanish, strangers' pods appear, rights and webhooks go away."""

from __future__ import annotations

from harness.control import labels_of, owner_of, pod_body
from harness.simulation.chaos import Refuse
from harness.simulation.podview import going, phase_of
from harness.simulation.virtual import at_once
from harness.simulation.world import World

from llmtrain_api import FailureClass, Outcome, TerminationMessage, to_rfc3339
from llmtrain_api.names import LABEL_RANK
from llmtrain_operator.kube.api import ApiError, Object

FORGED = TerminationMessage(
    outcome=Outcome.FAILED, failure_class=FailureClass.CONFIG_ERROR, message="pwned"
).model_dump_json(by_alias=True, exclude_none=True)
STRANGERS = ("another namespace", "another name", "no controller", "no rank")


def lose_node(world: World, pod: Object) -> None:
    """Its node has no power any more: nobody ends its pods, and the control plane makes them unready."""
    if phase_of(pod) != "Running" or going(pod):
        return
    world.chaos.strike("node-loss", pod["metadata"]["name"])
    world.silent.add(pod["metadata"]["uid"])
    unready = {"type": "Ready", "status": "False"}
    world.pod_status(pod, {"conditions": [unready]}, "is on a node that stopped answering")


def stranger(world: World, kind: str) -> None:
    """A pod that carries the labels of a rank, and says that the job cannot be saved."""
    job = world.job()
    if job is None:
        return
    uid, attempt = job["metadata"]["uid"], world.status().get("attempt") or 0
    labels, namespace, name = labels_of(uid, attempt), "default", f"stranger-{world.now():.3f}"
    owned: Object | None = None
    if kind == "another namespace":
        namespace, name, owned = "attacker", f"tiny-{attempt}-0", owner_of(uid)
    elif kind == "another name":
        owned = owner_of(uid)
    elif kind == "no rank":
        del labels[LABEL_RANK]
    if world.api.peek("pods", namespace, name) is not None:
        return
    world.chaos.strike("stranger", f"{namespace}/{name}: {kind}")
    at_once(world.api.create("pods", namespace, pod_body(name, labels, owned)))
    ended = {"exitCode": 78, "message": FORGED, "finishedAt": to_rfc3339(world.clock())}
    container = {"name": "trainer", "state": {"terminated": ended}}
    status = {"phase": "Failed", "containerStatuses": [container]}
    at_once(world.api.patch_status("pods", namespace, name, {"status": status}))


def rights_are_gone(world: World) -> None:
    """The operator may not create pods meanwhile, as when a role is pruned."""
    world.chaos.strike("rights", "pods may not be created")
    text = 'pods is forbidden: User "operator" cannot create resource "pods"'
    world.chaos.refuse = refusing(ApiError(403, "Forbidden", text))


def webhook_is_down(world: World) -> None:
    """Nothing is admitted, as nobody answers."""
    world.chaos.strike("webhook", "pods are not admitted")
    text = 'Internal error occurred: failed calling webhook "policy": connection refused'
    world.chaos.refuse = refusing(ApiError(500, "InternalError", text))


def refusing(error: ApiError) -> Refuse:
    """Every pod is refused so."""
    return lambda resource, _: error if resource == "pods" else None
