"""Random lives of a job: starts, ends, kills, deletions and operator deaths in any order.

However it goes, `plan` never puts two pods of a rank into the API, never reuses an attempt number, counts
each restart once, and ends with the phase that the pods justify.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from simulation.world import World

from llmtrain_api import FailureClass, Outcome, Phase, TerminationMessage

FAILURES = [
    (1, TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")),
    (1, TerminationMessage(outcome=Outcome.FAILED, cascade=True, message="connection closed by peer")),
    (75, TerminationMessage(outcome=Outcome.INTERRUPTED, message="stopped")),
    (93, TerminationMessage(outcome=Outcome.FENCED, message="newer attempt")),
    (137, ""),
    (1, "Traceback: not JSON"),
]


class Life(RuleBasedStateMachine):
    @initialize(nodes=st.integers(1, 4))
    def apply(self, nodes: int) -> None:
        self.world = World(nodes, recovery={"maxRestarts": 1000, "maxInfrastructureRestarts": 1000})

    @rule(crash=st.one_of(st.none(), st.integers(0, 4)))
    def operator_steps(self, crash: int | None) -> None:
        self.world.reconcile(crash)

    @rule(seconds=st.sampled_from([0.5, 2.0, 7.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.tick(seconds)

    @precondition(lambda self: self.world.pods)
    @rule(data=st.data())
    def kubelet_starts_one(self, data: st.DataObject) -> None:
        self.world.start(data.draw(st.sampled_from(sorted(self.world.pods))))

    @rule()
    def kubelet_starts_all(self) -> None:
        for name in list(self.world.pods):
            self.world.start(name)

    @precondition(lambda self: self.world.pods)
    @rule(data=st.data(), failure=st.sampled_from(FAILURES))
    def one_fails(self, data: st.DataObject, failure: tuple[int, TerminationMessage | str]) -> None:
        self.world.end(data.draw(st.sampled_from(sorted(self.world.pods))), *failure)

    @precondition(lambda self: self.world.pods)
    @rule(data=st.data(), grace=st.sampled_from([0.0, 1.0, 30.0]))
    def someone_deletes_one(self, data: st.DataObject, grace: float) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.pods)))
        self.world.delete(name, self.world.pods[name].uid, grace)

    @rule(steps=st.integers(1, 5), commit=st.booleans())
    def gang_trains(self, steps: int, commit: bool) -> None:
        self.world.train(steps, commit)

    @rule()
    def gang_ends_well(self) -> None:
        self.world.finish_gang()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            assert self.world.job.status.phase is Phase.SUCCEEDED


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=300,
    stateful_step_count=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
