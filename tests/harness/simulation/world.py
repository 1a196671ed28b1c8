"""A cluster around the operator: scheduler, kubelet, garbage collector, people, and trainers that train."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from harness.jobs import FACTS, T0, complete, manifest
from harness.simulation.chaos import Chaos, FaultyApi
from harness.simulation.kueue import FakeKueue
from harness.simulation.monitor import Broken, Monitor, WatchedApi
from harness.simulation.operator import Operator
from harness.simulation.podview import NAMESPACE, SIDECAR, cpus_of, going, label, owner, phase_of, size_of
from harness.simulation.timeline import Timeline
from harness.simulation.virtual import Stuck, VirtualLoop, at_once

from llmtrain_api import Outcome, ProgressReport, Stage, TerminationMessage, to_rfc3339
from llmtrain_api.messages import Straggler
from llmtrain_api.names import ANNOTATION_RERUN, LABEL_ATTEMPT, LABEL_RANK, PLURAL
from llmtrain_operator.kube.api import Object
from llmtrain_operator.types import JobRef

STEPS = 20


def done() -> str:
    """What the preparation of data says in the end."""
    return TerminationMessage(outcome=Outcome.COMPLETE).model_dump_json(by_alias=True, exclude_none=True)


def inspected(**facts: Any) -> str:
    """What the inspection of a model says in the end."""
    return json.dumps({"outcome": "Complete", "facts": FACTS | facts})


@dataclass
class Trainer:
    """What a job's processes have reached, in the output folder that outlives pods."""

    committed: int = 0
    step: int = 0


@dataclass
class World:
    """One API, one operator at a time, and everybody else. All of it follows from the seed.

    Attributes:
        sidecars: whether a mesh puts a container into each pod, which runs for ever.
        kubelet_ahead: seconds by which the kubelets' clocks are ahead of the API server's.
        operator_ahead: the same for the operator's clock.
        silent: UIDs of pods on nodes that have no power any more.
        setup_hangs: whether what runs before the gang runs on until the scenario ends it.
        lost_nodes: CPUs of nodes that are gone and may come back, by name.
    """

    seed: int = 0
    rng: Random = field(init=False)
    timeline: Timeline = field(default_factory=Timeline)
    operator: Operator | None = None
    standby: Operator | None = None
    trainers: dict[str, Trainer] = field(default_factory=dict)
    sidecars: bool = False
    kubelet_ahead: float = 0.0
    operator_ahead: float = 0.0
    silent: set[str] = field(default_factory=set)
    setup_hangs: bool = False
    lost_nodes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.loop = VirtualLoop()
        self._died = False
        self._tasks: list[asyncio.Task[None]] = []
        uids = (f"u{n}" for n in itertools.count(1))
        self.monitor = Monitor(self.timeline, self.now)
        self.api = WatchedApi(self.clock, lambda: next(uids))
        self.api.changed = self.monitor.changed
        self.set_node("n1")
        self.kueue = FakeKueue(self)
        self.chaos = Chaos(self.rng, self.timeline, self.now, self.phase, die=self._note_death)
        self.chaos.runaway = lambda: self.monitor.broken.append("the operator calls the API without end")

    # -- time ---------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.loop.time()

    def clock(self) -> datetime:
        return T0 + timedelta(seconds=self.now())

    def operator_clock(self) -> datetime:
        return self.clock() + timedelta(seconds=self.operator_ahead)

    def run(self, seconds: float) -> None:
        """Let time pass; then say what broke."""
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run_forever()
        if self._died:
            self._died = False
            self.kill_operator()
        if self.monitor.broken:
            raise Broken(self.monitor.broken[0])

    # -- the operator -------------------------------------------------------------------------------------

    def start_operator(self) -> None:
        if self.operator is None:
            self.timeline.tell(self.now(), "operator", "starts")
            self.operator = Operator(FaultyApi(self.api, self.chaos), self.operator_clock, self.monitor)
            self.operator.start(self.loop)
            self._tasks.extend(self.operator.tasks)
            self.monitor.saw_go = self.operator.store.saw_go

    def stand_by(self) -> Operator:
        """A second operator, with caches of its own."""
        self.timeline.tell(self.now(), "standby", "starts")
        self.standby = Operator(FaultyApi(self.api, self.chaos), self.operator_clock, self.monitor)
        self.standby.stand_by(self.loop)
        self._tasks.extend(self.standby.tasks)
        return self.standby

    def hand_over(self) -> None:
        """The one that acts is killed, and the other takes its place."""
        self.kill_operator()
        assert self.standby is not None
        self.timeline.tell(self.now(), "standby", "takes over")
        self.operator, self.standby = self.standby, None
        self.operator.lead(self.loop)
        self._tasks.extend(self.operator.tasks)
        self.monitor.saw_go = self.operator.store.saw_go

    def kill_operator(self) -> None:
        if self.operator is not None:
            self.operator.kill()
            self.operator = None
            self.timeline.tell(self.now(), "operator", "is dead")

    def _note_death(self) -> None:
        self._died = True

    def close(self) -> None:
        """End what still runs in the loop, and the loop: a world's clock starts at zero.

        One loop for all worlds would count on: after 2^24 virtual seconds a float cannot tell a moment from
        one a nanosecond later, which asyncio needs, and a timer that is due never comes.
        """
        self.kill_operator()
        if self.standby is not None:
            self.standby.kill()
        with suppress(Stuck):  # that has been told
            self.loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self.loop.close()

    # -- looking ------------------------------------------------------------------------------------------

    def job(self, name: str = "tiny") -> Object | None:
        return self.api.peek(PLURAL, NAMESPACE, name)

    def status(self, name: str = "tiny") -> dict[str, Any]:
        return (self.job(name) or {}).get("status") or {}

    def phase(self) -> str:
        job = self.job()
        if job is None:
            return "Deleted" if self.trainers else "None"
        if "deletionTimestamp" in job["metadata"]:
            return "Deleting"
        return str(self.status().get("phase", "New"))

    def pods(self) -> list[Object]:
        found = (*self.monitor.pods.values(), *self.monitor.setup.pods.values())
        return sorted(found, key=lambda p: str(p["metadata"]["name"]))

    def gang(self) -> list[Object]:
        """Pods of the attempt on record, and of the job that exists."""
        job = self.job()
        if job is None:
            return []
        attempt = str(self.status().get("attempt"))
        return [
            p
            for p in self.pods()
            if owner(p) == job["metadata"]["uid"] and label(p, LABEL_ATTEMPT) == attempt
        ]

    def set_node(self, name: str, cpu: str = "1000") -> None:
        """A node that is ready and has that many CPUs; by default it has room for everything."""
        allocatable = {"cpu": cpu, "memory": "4000Gi", "pods": "110", "nvidia.com/gpu": "64"}
        if (old := self.api.peek("nodes", "", name)) is not None:
            at_once(self.api.delete("nodes", "", name, old["metadata"]["uid"], 0))
        body = {"metadata": {"name": name}, "status": {"allocatable": allocatable}}
        at_once(self.api.create("nodes", "", body))

    def drop_node(self, name: str) -> None:
        """It has no power any more, and its object goes: its pods run on as far as anybody knows."""
        self.timeline.tell(self.now(), "node", f"{name} is gone")
        for pod in self.pods():
            if pod["spec"].get("nodeName") == name and phase_of(pod) == "Running" and not going(pod):
                self.silent.add(pod["metadata"]["uid"])
                unready = {"conditions": [{"type": "Ready", "status": "False"}]}
                self.pod_status(pod, unready, "is on a node that stopped answering")
        node = self.api.peek("nodes", "", name)
        assert node is not None
        self.lost_nodes[name] = str(node["status"]["allocatable"]["cpu"])
        at_once(self.api.delete("nodes", "", name, node["metadata"]["uid"], 0))

    def return_nodes(self) -> None:
        """Those that had gone are back, and empty."""
        for name, cpu in self.lost_nodes.items():
            self.timeline.tell(self.now(), "node", f"{name} is back")
            self.set_node(name, cpu)
        self.lost_nodes.clear()

    def node_for(self, pod: Object) -> str | None:
        """Where the scheduler puts it: on the node with most CPUs left; None where it has room on none."""
        left = dict(self.monitor.gangs.nodes)
        for other in self.pods():
            node = other["spec"].get("nodeName")
            if node in left and phase_of(other) not in ("Succeeded", "Failed"):
                left[node] -= cpus_of(other)
        name = max(left, key=lambda n: left[n])
        return name if left[name] >= cpus_of(pod) else None

    # -- people -------------------------------------------------------------------------------------------

    def apply(self, nodes: int = 2, name: str = "tiny", **spec: Any) -> None:
        self.timeline.tell(self.now(), "user", f"applies {name}: {nodes} nodes {spec or ''}")
        body = manifest(name, nodes=nodes, **spec)
        created = at_once(self.api.create(PLURAL, NAMESPACE, body))
        self.trainers[created["metadata"]["uid"]] = Trainer()

    def delete_job(self, name: str = "tiny") -> None:
        self.timeline.tell(self.now(), "user", f"deletes {name}")
        uid = self.job(name)["metadata"]["uid"]  # type: ignore[index]
        at_once(self.api.delete(PLURAL, NAMESPACE, name, uid, 0))

    def suspend(self, value: bool, name: str = "tiny") -> None:
        self.timeline.tell(self.now(), "user", f"sets suspend of {name} to {value}")
        job = self.job(name)
        assert job is not None
        self.api.replace_spec(PLURAL, NAMESPACE, name, {**job["spec"], "suspend": value})

    def edit(self, **fields: Any) -> None:
        """Fields of the spec that may be edited at any time."""
        self.timeline.tell(self.now(), "user", f"edits {fields}")
        job = self.job()
        assert job is not None
        self.api.replace_spec(PLURAL, NAMESPACE, "tiny", {**job["spec"], **fields})

    def rerun(self, text: str) -> None:
        self.timeline.tell(self.now(), "user", f"asks for a rerun: {text}")
        self.api.annotate(PLURAL, NAMESPACE, "tiny", {ANNOTATION_RERUN: text})

    def delete_pod(self, pod: Object, grace: int, who: str = "user") -> None:
        meta = pod["metadata"]
        self.timeline.tell(self.now(), who, f"deletes {meta['name']}, grace {grace}")
        at_once(self.api.delete("pods", NAMESPACE, meta["name"], meta["uid"], grace))

    def collect_garbage(self) -> None:
        count = at_once(self.api.collect_garbage())
        if count:
            self.timeline.tell(self.now(), "gc", f"deletes {count} orphans")

    # -- scheduler and kubelet ----------------------------------------------------------------------------

    def bind(self, pod: Object) -> None:
        node = self.node_for(pod)
        if not pod["spec"].get("nodeName") and not going(pod) and node is not None:
            self.api.bind(NAMESPACE, pod["metadata"]["name"], node)

    def hold(self, pod: Object) -> None:
        """The scheduler finds no room."""
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "no room",
        }
        if not pod["spec"].get("nodeName"):
            self.pod_status(pod, {"phase": "Pending", "conditions": [condition]}, "is unschedulable")

    def start(self, pod: Object) -> None:
        self.bind(pod)
        uid = pod["metadata"]["uid"]
        current = self.monitor.pods.get(uid) or self.monitor.setup.pods.get(uid)
        if current and not current["spec"].get("nodeName"):
            self.hold(current)
        elif current and current["status"]["phase"] == "Pending" and not going(current):
            running = [self._container("trainer", {"running": {}}), *self._beside()]
            status = {"phase": "Running", "conditions": None, "containerStatuses": running}
            self.pod_status(current, status, "runs")

    @staticmethod
    def _container(name: str, state: Object) -> Object:
        return {"name": name, "state": state}

    def _beside(self) -> list[Object]:
        """What a mesh puts into a pod; the kubelet lists containers by name."""
        return [self._container(SIDECAR, {"running": {}})] if self.sidecars else []

    def end(self, pod: Object, code: int, message: TerminationMessage | str, reason: str = "") -> None:
        if phase_of(pod) != "Running" or self.is_silent(pod):
            return
        text = (
            message if isinstance(message, str) else message.model_dump_json(by_alias=True, exclude_none=True)
        )
        ended = {
            "exitCode": code,
            "message": text,
            "reason": reason or ("Error" if code else "Completed"),
            "finishedAt": to_rfc3339(self.clock() + timedelta(seconds=self.kubelet_ahead)),
        }
        beside = [c for c in pod["status"].get("containerStatuses") or [] if c["name"] != "trainer"]
        phase = "Running" if beside else "Failed" if code else "Succeeded"
        containers = [*beside, self._container("trainer", {"terminated": ended})]
        self.pod_status(pod, {"phase": phase, "containerStatuses": containers}, f"ends with {code} {reason}")

    def evict(self, pod: Object) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "drain",
        }
        self.pod_status(pod, {"conditions": [condition]}, "is evicted")
        self.delete_pod(pod, 30, "drain")

    def finish_deletions(self, late: float = 0.0) -> None:
        """The kubelet confirms what has had its grace time."""
        for pod in self.pods():
            deadline = pod["metadata"].get("deletionTimestamp")
            if self.is_silent(pod) and owner(pod) in self.monitor.jobs:
                continue  # once its job is gone, the node is repaired and ends it
            if deadline and to_rfc3339(self.clock() - timedelta(seconds=late)) >= deadline:
                self.remove(pod)

    def is_silent(self, pod: Object) -> bool:
        return pod["metadata"]["uid"] in self.silent

    def evict_from_silent_nodes(self) -> None:
        """The control plane's part, once their tolerations end: their kubelets never hear of it."""
        for pod in self.pods():
            if self.is_silent(pod) and not going(pod):
                self.delete_pod(pod, 30, "taint manager")

    def remove(self, pod: Object) -> None:
        """Gone from the API at once."""
        meta = pod["metadata"]
        self.timeline.tell(self.now(), "kubelet", f"{meta['name']} is gone")
        at_once(self.api.delete("pods", NAMESPACE, meta["name"], meta["uid"], 0))

    def pod_status(self, pod: Object, status: Object, what: str) -> None:
        name = pod["metadata"]["name"]
        self.timeline.tell(self.now(), "kubelet", f"{name} {what}")
        at_once(self.api.patch_status("pods", NAMESPACE, name, {"status": status}))

    # -- trainers -----------------------------------------------------------------------------------------

    def train(self, steps: int, commit: bool, straggler: Straggler | None = None) -> None:
        """A whole gang makes progress; its rank 0 reports to the operator, if one is there."""
        job, gang = self.job(), self.gang()
        if job is None or not gang or any(phase_of(p) != "Running" for p in gang):
            return
        if len(gang) < size_of(job) or any(map(self.is_silent, gang)):
            return
        uid, attempt = job["metadata"]["uid"], int(label(gang[0], LABEL_ATTEMPT))
        trainer = self.trainers[uid]
        trainer.step = min(max(trainer.step, trainer.committed) + steps, STEPS)
        if commit:
            trainer.committed = trainer.step
        self.timeline.tell(self.now(), "trainer", f"step {trainer.step}, committed {trainer.committed}")
        if self.operator is not None:
            report = ProgressReport(
                job_uid=uid,
                attempt=attempt,
                stage=Stage.TRAIN,
                step=trainer.step,
                total_steps=STEPS,
                checkpoint_step=trainer.committed,
                resumed_step=0,
                straggler=straggler,
            )
            ref = JobRef(NAMESPACE, job["metadata"]["name"], uid)
            if self.operator.book.record(ref, report, self.clock()):
                self.operator.queue.add((NAMESPACE, job["metadata"]["name"]))

    def setup_pods(self) -> list[Object]:
        """Pods that run before a gang, of the job that exists."""
        uid = (self.job() or {}).get("metadata", {}).get("uid")
        found = (p for p in self.monitor.setup.pods.values() if owner(p) == uid)
        return sorted(found, key=lambda p: str(p["metadata"]["name"]))

    def finish_setup(self) -> None:
        """What runs before the gang, and is not told to go, ends well."""
        for pod in self.setup_pods():
            if not going(pod):
                self.end(pod, 0, inspected() if "-inspect-" in pod["metadata"]["name"] else done())

    def finish_gang(self) -> None:
        """Every rank that still runs ends well, if none failed: rank 0 last, after its export."""
        job, gang = self.job(), self.gang()
        if job is None or len(gang) < size_of(job) or any(map(self.is_silent, gang)):
            return
        if any(phase_of(p) not in ("Running", "Succeeded") or going(p) for p in gang):
            return
        for pod in reversed(gang):
            rank0 = label(pod, LABEL_RANK) == "0"
            self.end(pod, 0, complete(STEPS) if rank0 else TerminationMessage(outcome=Outcome.COMPLETE))

    # -- to the end ---------------------------------------------------------------------------------------

    def all_is_well(self, fate: tuple[int, str] | None = None) -> None:
        """No faults from here on, but the one that is still to come."""
        self.chaos.rate, self.chaos.down_until, self.chaos.fatal = 0.0, 0.0, fate
        self.chaos.refuse = None
        self.setup_hangs = False
        self.return_nodes()
        self.evict_from_silent_nodes()

    def turn(self, seconds: float = 1.0) -> None:
        """Everybody does the part that is due."""
        self.start_operator()
        self.run(seconds)
        self.evict_from_silent_nodes()
        self.finish_deletions()
        self.collect_garbage()
        if not self.setup_hangs:
            self.finish_setup()
        for pod in self.pods():
            self.start(pod)

    def until(self, what: str, holds: Callable[[], bool], turns: int = 200) -> None:
        for _ in range(turns):
            if holds():
                return
            self.turn()
        raise AssertionError(f"not within {turns} turns: {what}; {self.status()}")

    def up(self) -> None:
        """Until the gang runs."""
        self.until("Running", lambda: self.phase() == "Running")

    def settle(self, fate: tuple[int, str] | None = None) -> None:
        """All goes well until the job is over; then the operator must be silent."""
        self.all_is_well(fate)
        for _ in range(180):
            self.turn(2.0)
            if self.phase() == "Running":
                self.train(10, commit=True)
                self.finish_gang()
            if self.over():
                break
        else:
            raise Broken(f"never over: {self.status()}")
        self.run(120.0)
        if self.operator is None:
            self.start_operator()
            self.run(120.0)
        before = self.chaos.writes
        self.run(700.0)  # longer than the operator's own resync
        if self.chaos.writes != before:
            raise Broken("the operator writes on after the end")
        self._nothing_left()

    def over(self) -> bool:
        phase = self.phase()
        running = [p for p in self.pods() if p["status"]["phase"] not in ("Succeeded", "Failed")]
        accepted = [c for c in self.status().get("conditions", []) if c["type"] == "Accepted"]
        judged = (self.job() or {}).get("metadata", {}).get("generation") == self.status().get(
            "observedGeneration"
        )
        refused = judged and bool(accepted) and accepted[0]["status"] == "False"
        stands = phase == "Suspended" and bool((self.job() or {})["spec"].get("suspend"))
        ended = phase in ("Succeeded", "Failed", "Deleted", "None") or stands
        return (ended and not running) or refused

    def _nothing_left(self) -> None:
        jobs = set(self.monitor.jobs)
        orphans = [p["metadata"]["name"] for p in self.pods() if owner(p) not in jobs]
        if orphans:
            raise Broken(f"pods without their job: {orphans}")
