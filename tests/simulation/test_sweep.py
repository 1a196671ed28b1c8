"""The operator dies before and after every single write, and the API fails every single write: the end is the
same as if nothing had happened. In `make test` one of two fates strikes each write, in `make proofs` all of
them do."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from harness.simulation.quiet import silence
from harness.simulation.scenarios import SCENARIOS
from harness.simulation.sweep import FATES, play, sweep

pytestmark = pytest.mark.timeout(1800)
EVERYDAY = ("before", "answer-lost")


@pytest.mark.parametrize(
    ("fates", "in_turns"),
    [(EVERYDAY, True), pytest.param(FATES, False, marks=pytest.mark.proof)],
    ids=["in turns", "each at every write"],
)
def test_every_scenario_struck_at_every_write(fates: tuple[str, ...], in_turns: bool) -> None:
    with ProcessPoolExecutor(2) as pool:
        struck = pool.map(partial(sweep, fates=fates, in_turns=in_turns), SCENARIOS)
        swept = dict(zip(SCENARIOS, struck, strict=True))
    for scenario, found in swept.items():
        print(f"{scenario.__name__:30} {found.deaths:4} deaths {found.faults:5} faults")
    deaths, faults = (sum(getattr(x, kind) for x in swept.values()) for kind in ("deaths", "faults"))
    print(f"{len(SCENARIOS)} scenarios: {deaths} deaths and {faults} faults, each at one write")
    failures = [text for found in swept.values() for text in found.failures]
    assert not failures, f"{len(failures)} ended otherwise; the first:\n{failures[0]}"
    assert deaths >= 500


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence()


def test_a_death_that_is_asked_for_happens() -> None:
    scenario = next(iter(SCENARIOS))
    for fate in ("before", "after"):
        assert play(scenario, (3, fate)).timeline.faults["operator-death"] == 1
