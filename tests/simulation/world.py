"""A small world for `plan`: an API that keeps what is written, a kubelet, a clock, and crashes.

It checks at every write what must never happen; the state machine in `test_plan_machine` moves it about.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from support.jobs import SETTINGS, T0, complete, ended, job, pod, report

from llmtrain_api import Job, Outcome, Phase, TerminationMessage
from llmtrain_api.names import LABEL_ATTEMPT, LABEL_RANK
from llmtrain_operator.plan import plan
from llmtrain_operator.types import Action, Create, DeletePod, LastReport, Observed, Pod, PodPhase


class World:
    """One job and everything around it."""

    def __init__(self, nodes: int, **spec: object) -> None:
        self.now = T0
        self.job: Job = job(nodes=nodes, **spec)
        self.nodes = nodes
        self.pods: dict[str, Pod] = {}
        self.report: LastReport | None = None
        self.committed = 0
        self.writes = 0
        self.pod_creates = 0
        self.serial = 0
        self.past_attempts: set[int] = set()

    # -- the operator -------------------------------------------------------------------------------------

    def reconcile(self, crash_after: int | None = None) -> bool:
        """One step: write the status, then act. Dies after so many writes if asked to. Whether it wrote."""
        attempt = self.job.status.attempt
        known = self.report if self.report and self.report.report.attempt == attempt else None
        decision = plan(Observed(self.job, tuple(self.pods.values()), known, None, SETTINGS), self.now)
        budget = 10**9 if crash_after is None else crash_after
        wrote = decision.status.to_json() != self.job.status.to_json()
        if wrote:
            if budget == 0:
                return False
            budget -= 1
            self._write_status(decision.status.to_json())
        for action in decision.actions[:budget]:
            self._act(action)
        return wrote or bool(decision.actions)

    def _write_status(self, status: dict[str, object]) -> None:
        before = self.job.status
        raw = self.job.to_json() | {"status": status}
        self.job = Job.model_validate(raw)
        after = self.job.status
        self.writes += 1
        assert not (before.phase and before.phase.final), f"{before.phase} is final, yet it was written to"
        if before.attempt is not None:
            assert after.attempt is not None
            assert after.attempt in (before.attempt, before.attempt + 1), (
                "an attempt number was skipped or reused"
            )
        if after.attempt is not None:
            assert after.restarts is not None
            assert after.restarts.total == after.attempt, "restarts are not counted once each"
        if before.checkpoint is not None:
            assert after.checkpoint is not None
            assert after.checkpoint.step >= before.checkpoint.step, "the checkpoint went back"

    def _act(self, action: Action) -> None:
        self.writes += 1
        if isinstance(action, DeletePod):
            self.delete(action.name, action.uid, action.grace_seconds)
        elif action.resource == "pods":
            self._create(action)

    def _create(self, action: Create) -> None:
        meta = action.manifest["metadata"]
        attempt, rank = int(meta["labels"][LABEL_ATTEMPT]), int(meta["labels"][LABEL_RANK])
        assert attempt == self.job.status.attempt, "a pod of an attempt that is not on record"
        assert meta["name"] not in self.pods, "created twice"
        others = [p.name for p in self.pods.values() if p.rank == rank]
        assert not others, f"rank {rank} has {others} and would get another pod"
        self.serial += 1
        self.pod_creates += 1
        new = pod(attempt, rank, PodPhase.PENDING, node=None, uid=f"u{self.serial}", name=meta["name"])
        self.pods[new.name] = new

    # -- everybody else -----------------------------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for p in list(self.pods.values()):
            if p.deletion_deadline is not None and p.deletion_deadline <= self.now:
                del self.pods[p.name]

    def delete(self, name: str, uid: str, grace: float) -> None:
        p = self.pods.get(name)
        if p is None or p.uid != uid:
            return
        deadline = self.now + timedelta(seconds=grace)
        if grace == 0 or p.node is None or p.terminal:
            del self.pods[name]
        elif p.deletion_deadline is None or deadline < p.deletion_deadline:
            self.pods[name] = replace(p, deletion_deadline=deadline)

    def start(self, name: str) -> None:
        if self.pods[name].phase is PodPhase.PENDING:
            self.pods[name] = replace(self.pods[name], phase=PodPhase.RUNNING, node="n")

    def end(self, name: str, code: int, message: TerminationMessage | str) -> None:
        p = self.pods[name]
        if p.phase is PodPhase.RUNNING:
            phase = PodPhase.FAILED if code else PodPhase.SUCCEEDED
            self.pods[name] = replace(p, phase=phase, termination=ended(message, code, self.now))

    def train(self, steps: int, commit: bool) -> None:
        """The gang makes progress, if all of it runs."""
        attempt = self.job.status.attempt
        gang = [p for p in self.pods.values() if p.attempt == attempt and p.phase is PodPhase.RUNNING]
        if attempt is None or len(gang) < self.nodes:
            return
        step = min(self.committed + steps, 20)
        self.committed = step if commit else self.committed
        self.report = report(attempt, self.now, step=step, checkpoint_step=self.committed)

    def finish_gang(self) -> None:
        """All ranks end well together, if none is missing or failed: collectives hold the others back."""
        gang = [p for p in self.pods.values() if p.attempt == self.job.status.attempt]
        if len(gang) < self.nodes or any(p.phase is not PodPhase.RUNNING for p in gang):
            return
        for p in gang:
            last = complete() if p.rank == 0 else TerminationMessage(outcome=Outcome.COMPLETE)
            self.end(p.name, 0, last)

    def settle(self, limit: int = 400) -> None:
        """Let everything go well until the job is over; asserts that it ends and then stays silent."""
        for _ in range(limit):
            self.tick(1)
            for name in list(self.pods):
                self.start(name)
            while_writing = 0
            while self.reconcile():
                while_writing += 1
                assert while_writing < 50, "writes for ever"
            if self.job.status.phase is Phase.RUNNING:
                self.train(5, commit=True)
                self.finish_gang()
            if self.job.status.phase is not None and self.job.status.phase.final and not self._running():
                assert not self.reconcile(), "writes after the end"
                return
        raise AssertionError(f"not over after {limit} s: {self.job.status.phase}, {list(self.pods.values())}")

    def _running(self) -> list[Pod]:
        return [p for p in self.pods.values() if not p.terminal]
