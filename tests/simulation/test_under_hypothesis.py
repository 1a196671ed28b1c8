"""The same world under hypothesis: it chooses the acts, and shrinks a broken life to the acts that matter.

`test_schedules` lives many more lives; this one's gain is the short timeline of a failure. It runs last:
worker processes that are forked after hypothesis has run here did not end.
"""

from __future__ import annotations

import random

import pytest
from harness.simulation.acts import ACTS, Act, Episode, apply
from harness.simulation.mutants import MUTANTS
from harness.simulation.quiet import silence
from harness.simulation.schedule import judge_end, quiesce
from harness.simulation.world import World
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

LIVES = settings(
    max_examples=300,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
pytestmark = pytest.mark.timeout(1800)


class JobEpisodes(RuleBasedStateMachine):
    """One job; each step is something that happens around it. The monitor judges each step."""

    def __init__(self) -> None:
        super().__init__()
        self.episode: Episode | None = None
        self.broke = False

    @initialize(seed=st.integers(0, 2**16), rate=st.sampled_from([0.0, 0.1, 0.3]))
    def a_user_applies(self, seed: int, rate: float) -> None:
        random.seed(seed)
        world = World(seed)
        self.episode = Episode(world, random.Random(seed))
        world.start_operator()
        apply(self.episode)
        world.chaos.rate = rate

    @rule(act=st.sampled_from([act for _, act in ACTS]), pause=st.sampled_from([0.0, 0.1, 1.0]))
    def something_happens(self, act: Act, pause: float) -> None:
        assert self.episode is not None
        self.broke = True
        act(self.episode)
        if self.episode.world.operator is None:
            self.episode.world.run(2.0)
            self.episode.world.start_operator()
        self.episode.world.run(pause)
        self.broke = False

    def teardown(self) -> None:
        if self.episode is None:
            return
        try:
            if not self.broke:
                quiesce(self.episode)
                self.episode.world.settle()
                judge_end(self.episode)
        except AssertionError:
            print(self.episode.world.timeline.page())
            raise
        finally:
            self.episode.world.close()


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence()


def test_whatever_hypothesis_thinks_of_holds() -> None:
    run_state_machine_as_test(JobEpisodes, settings=LIVES)


def test_it_finds_a_planted_bug() -> None:
    """Without shrinking: that a bug is seen is enough here."""
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS["acts_before_it_writes"](patch)
        with pytest.raises(AssertionError):
            run_state_machine_as_test(JobEpisodes, settings=settings(LIVES, phases=[Phase.generate]))
