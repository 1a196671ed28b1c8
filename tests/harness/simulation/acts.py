"""What may happen around a job, and how often it does in a random episode."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.simulation.cluster_faults import (
    STRANGERS,
    lose_node,
    rights_are_gone,
    stranger,
    webhook_is_down,
)
from harness.simulation.kueue import QUEUE, reserves
from harness.simulation.podview import going, label
from harness.simulation.world import World

from llmtrain_api import FailureClass, Outcome, TerminationMessage
from llmtrain_api.names import LABEL_RANK, PLURAL
from llmtrain_operator.kube.api import ApiError, Object

FAILURES: tuple[tuple[int, TerminationMessage | str, str], ...] = (
    (
        1,
        TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom"),
        "",
    ),
    (1, TerminationMessage(outcome=Outcome.FAILED, cascade=True, message="connection closed by peer"), ""),
    (75, TerminationMessage(outcome=Outcome.INTERRUPTED, message="stopped", checkpoint_step=3), ""),
    (93, TerminationMessage(outcome=Outcome.FENCED, message="newer attempt"), ""),
    (137, "", "OOMKilled"),
    (137, "", ""),
    (1, "Traceback: not JSON", ""),
)
CONFIG_ERROR = TerminationMessage(
    outcome=Outcome.FAILED, failure_class=FailureClass.CONFIG_ERROR, message="no such file"
)
HOUR = 3600.0
UNLIMITED = {"maxRestarts": 1000, "maxInfrastructureRestarts": 1000}
Act = Callable[["Episode"], None]


@dataclass
class Episode:
    """One world and the dice."""

    world: World
    rng: random.Random
    limited: bool = False
    wrong: bool = False
    may_fail: bool = False
    elastic: bool = False

    def pod(self) -> Object | None:
        pods = self.world.pods()
        return self.rng.choice(pods) if pods else None


def time_passes(episode: Episode) -> None:
    episode.world.run(episode.rng.choice([0.1, 1.0, 3.0, 7.0, 40.0]))


def kubelet_starts_all(episode: Episode) -> None:
    for pod in episode.world.pods():
        episode.world.start(pod)
    episode.world.run(1.0)


def kubelet_starts_one(episode: Episode) -> None:
    if pod := episode.pod():
        episode.world.start(pod)


def scheduler_holds_one(episode: Episode) -> None:
    if pod := episode.pod():
        episode.world.hold(pod)


def one_fails(episode: Episode) -> None:
    if pod := episode.pod():
        episode.world.end(pod, *episode.rng.choice(FAILURES))


def one_ends_well_alone(episode: Episode) -> None:
    """Exit 0 of a rank other than 0 means nothing by itself."""
    pod = episode.pod()
    if pod and label(pod, LABEL_RANK) not in ("", "0"):
        episode.world.end(pod, 0, TerminationMessage(outcome=Outcome.COMPLETE))


def somebody_deletes_one(episode: Episode) -> None:
    pod = episode.pod()
    if pod and not going(pod):
        episode.world.delete_pod(pod, episode.rng.choice([0, 1, 30]))


def drain(episode: Episode) -> None:
    pod = episode.pod()
    if pod and not going(pod):
        episode.world.evict(pod)


def kubelet_confirms(episode: Episode) -> None:
    episode.world.finish_deletions()


def trains(episode: Episode) -> None:
    episode.world.train(episode.rng.randint(1, 5), commit=episode.rng.random() < 0.5)
    episode.world.run(episode.rng.choice([0.1, 6.0]))


def gang_ends_well(episode: Episode) -> None:
    episode.world.finish_gang()


def operator_dies(episode: Episode) -> None:
    world = episode.world
    if world.operator is not None:
        world.chaos.strike("operator-death", "kill -9")
        world.kill_operator()
    world.run(episode.rng.uniform(0.0, 20.0))
    world.start_operator()
    world.run(0.5)


def operator_dies_at_a_write(episode: Episode) -> None:
    world = episode.world
    nth = world.chaos.writes + episode.rng.randint(1, 4)
    world.chaos.fatal = (nth, episode.rng.choice(["before", "after"]))


def weather_changes(episode: Episode) -> None:
    episode.world.chaos.rate = episode.rng.choice([0.0, 0.1, 0.3, 0.5])


def api_restarts(episode: Episode) -> None:
    world = episode.world
    world.chaos.strike("api-restart", "all connections are gone")
    world.chaos.down_until = world.now() + episode.rng.uniform(0.5, 20.0)
    world.api.close_watches()


def streams_end(episode: Episode) -> None:
    episode.world.api.close_watches()


def history_is_compacted(episode: Episode) -> None:
    for resource in ("pods", "llmtrainingjobs"):
        episode.world.api.compact(resource)
    episode.world.chaos.strike("compaction", "watches of old versions get 410")
    episode.world.api.close_watches()


def quota_is_used_up(episode: Episode) -> None:
    def refuse(resource: str, body: Object) -> ApiError | None:
        if resource != "pods" or episode.rng.random() < 0.3:
            return None
        return ApiError(
            403, "Forbidden", f"pods {body['metadata']['name']} is forbidden: exceeded quota: gpus"
        )

    episode.world.chaos.strike("quota", "pods are refused")
    episode.world.chaos.refuse = refuse


def quota_is_free(episode: Episode) -> None:
    episode.world.chaos.refuse = None


def user_deletes(episode: Episode) -> None:
    if episode.world.job() is not None and episode.rng.random() < 0.4:
        episode.world.delete_job()


def user_applies_again(episode: Episode) -> None:
    if episode.world.job() is None:
        apply(episode)


def user_puts_the_spec_right(episode: Episode) -> None:
    job = episode.world.job()
    if job is not None and episode.wrong and not episode.world.status().get("attempt"):
        episode.wrong = False
        spec = {**job["spec"], "output": {"uri": "pvc://checkpoints/x"}}
        episode.world.api.replace_spec(PLURAL, "default", "tiny", spec)


def user_edits_the_spec(episode: Episode) -> None:
    """As long as no attempt has begun, that is allowed."""
    job = episode.world.job()
    if job is not None and not episode.wrong and episode.world.status().get("attempt") is None:
        spec = {**job["spec"], "checkpoint": {"everySteps": episode.rng.randint(2, 9)}}
        episode.world.api.replace_spec(PLURAL, "default", "tiny", spec)


def user_suspends_or_resumes(episode: Episode) -> None:
    job = episode.world.job()
    if job is not None:
        episode.world.suspend(not job["spec"].get("suspend", False))


def user_asks_for_a_rerun(episode: Episode) -> None:
    if episode.world.job() is not None:
        episode.world.rerun(f"{episode.world.now():.3f}")


def what_prepares_ends_well(episode: Episode) -> None:
    episode.world.finish_setup()


def configuration_fails(episode: Episode) -> None:
    """Starting again would not help: the job is over."""
    pod = episode.pod()
    if pod is not None and episode.rng.random() < 0.6:
        episode.may_fail = True
        episode.world.end(pod, 78, CONFIG_ERROR)


def a_node_loses_its_power(episode: Episode) -> None:
    if pod := episode.pod():
        lose_node(episode.world, pod)


def a_node_goes_for_good(episode: Episode) -> None:
    """Of a job that may go on without it; the last one stays."""
    nodes = sorted(episode.world.monitor.gangs.nodes)
    if episode.elastic and len(nodes) > 1:
        episode.world.chaos.strike("node-gone", "a node is gone")
        episode.world.drop_node(episode.rng.choice(nodes))


def nodes_come_back(episode: Episode) -> None:
    episode.world.return_nodes()


def user_edits_the_size(episode: Episode) -> None:
    job = episode.world.job()
    if job is not None and episode.elastic:
        episode.world.edit(nodes=episode.rng.randint(job["spec"]["minNodes"], 3))


def it_runs_for_long(episode: Episode) -> None:
    """Long enough to grow."""
    if episode.elastic:
        episode.world.run(episode.rng.choice([300.0, 700.0]))


def the_control_plane_evicts(episode: Episode) -> None:
    episode.world.evict_from_silent_nodes()


def a_stranger_appears(episode: Episode) -> None:
    stranger(episode.world, episode.rng.choice(STRANGERS))


def rights_go(episode: Episode) -> None:
    rights_are_gone(episode.world)


def a_webhook_goes_down(episode: Episode) -> None:
    webhook_is_down(episode.world)


def kueue_takes_room_back(episode: Episode) -> None:
    """By an eviction, or because somebody deletes what stands for the gang."""
    held = [w["metadata"]["name"] for w in episode.world.kueue.workloads() if reserves(w)]
    if held and episode.rng.random() < 0.8:
        episode.world.kueue.evict(held[0], "Preempted", "Preempted to accommodate a workload")
    elif held:
        episode.world.kueue.delete(held[0])


def collect(episode: Episode) -> None:
    episode.world.collect_garbage()


ACTS: tuple[tuple[int, Act], ...] = (
    (5, time_passes),
    (6, kubelet_starts_all),
    (2, kubelet_starts_one),
    (1, scheduler_holds_one),
    (3, one_fails),
    (1, one_ends_well_alone),
    (2, somebody_deletes_one),
    (1, drain),
    (3, kubelet_confirms),
    (3, trains),
    (2, gang_ends_well),
    (2, operator_dies),
    (3, operator_dies_at_a_write),
    (4, weather_changes),
    (1, api_restarts),
    (1, streams_end),
    (1, history_is_compacted),
    (1, quota_is_used_up),
    (2, quota_is_free),
    (1, user_deletes),
    (2, user_applies_again),
    (2, user_puts_the_spec_right),
    (2, configuration_fails),
    (1, user_edits_the_spec),
    (2, user_suspends_or_resumes),
    (1, user_asks_for_a_rerun),
    (2, what_prepares_ends_well),
    (1, collect),
    (3, a_node_loses_its_power),
    (1, a_node_goes_for_good),
    (1, nodes_come_back),
    (1, user_edits_the_size),
    (1, it_runs_for_long),
    (1, the_control_plane_evicts),
    (1, a_stranger_appears),
    (1, rights_go),
    (1, a_webhook_goes_down),
    (1, kueue_takes_room_back),
)


def apply(episode: Episode) -> None:
    rng = episode.rng
    episode.limited, episode.wrong, episode.may_fail = rng.random() < 0.2, rng.random() < 0.1, False
    recovery = {"maxRestarts": 1, "maxInfrastructureRestarts": 2} if episode.limited else UNLIMITED
    output = {"uri": "file:///only/on/a/laptop" if episode.wrong else "pvc://checkpoints/tiny"}
    first: dict[str, Any] = {"prepare": {"nodes": 1}} if rng.random() < 0.3 else {}
    if rng.random() < 0.25:
        first["model"] = {"name": "somebody/some-model"}
    nodes = rng.choice([1, 2, 2, 3])
    episode.elastic = rng.random() < 0.3
    if episode.elastic:
        # one pod fills a node
        first |= {"minNodes": rng.randint(1, nodes), "resources": {"cpu": "8", "memory": "1Gi"}}
        episode.world.lost_nodes.clear()
        for name in ("n1", "n2", "n3"):
            episode.world.set_node(name, "8")
    if not episode.elastic and rng.random() < 0.3:
        episode.world.kueue.open(1000)
        first["queueName"] = QUEUE
    episode.world.apply(nodes, recovery=recovery, output=output, **first)
