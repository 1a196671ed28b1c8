"""The operator dies before and after every single write, and the API fails every single write: the end is the
same as if nothing had happened."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from harness.simulation.quiet import silence
from harness.simulation.scenarios import SCENARIOS
from harness.simulation.sweep import FATES, play, sweep

pytestmark = pytest.mark.timeout(600)
EVERYDAY = ("before", "answer-lost")
OTHERS = tuple(fate for fate in FATES if fate not in EVERYDAY)


@pytest.mark.parametrize("fates", [EVERYDAY, pytest.param(OTHERS, marks=pytest.mark.proof)], ids=" ".join)
def test_every_scenario_struck_at_every_write(fates: tuple[str, ...]) -> None:
    with ProcessPoolExecutor(2) as pool:
        swept = dict(zip(SCENARIOS, pool.map(partial(sweep, fates=fates), SCENARIOS), strict=True))
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
