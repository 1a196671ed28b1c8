"""Every planted bug is found, by a scenario, a random life or the sweep."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from harness.simulation.mutants import MUTANTS
from harness.simulation.mutants.finders import FINDERS
from harness.simulation.quiet import silence
from harness.simulation.scenarios import SCENARIOS
from harness.simulation.schedule import live
from harness.simulation.sweep import play

LIVES = 400
pytestmark = pytest.mark.timeout(1800)


def found_by(name: str) -> str | None:
    """What finds that bug: cheap things first."""
    silence()
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS[name](patch)
        first = FINDERS.get(name, "")
        if isinstance(first, int) and (broken := breaks(partial(live, first))):
            return f"life {first}: {broken}"
        for scenario in sorted(SCENARIOS, key=partial(_distance, MUTANTS[name], first)):
            if broken := breaks(partial(play, scenario, None)):
                return f"scenario {scenario.__name__}: {broken}"
        for seed in range(LIVES):
            if broken := breaks(partial(live, seed)):
                return f"life {seed}: {broken}"
        return _by_the_sweep()


def _distance(mutant: Callable[..., object], first: str | int, scenario: Callable[..., object]) -> int:
    """0 for what found it before, 1 for scenarios of its own subject (their modules' names begin alike)."""
    if scenario.__name__ == first:
        return 0
    subjects = [of.__module__.rpartition(".")[2][:4] for of in (mutant, scenario)]
    return 1 + int(subjects[0] != subjects[1])


def _by_the_sweep() -> str | None:
    for scenario in SCENARIOS:
        for number in range(1, play(scenario, None).chaos.writes + 1):
            for fate in ("before", "after", "answer-lost"):
                if broken := breaks(partial(play, scenario, (number, fate))):
                    return f"sweep of {scenario.__name__}, {fate} write {number}: {broken}"
    return None


def breaks(run: Callable[[], object]) -> str | None:
    try:
        run()
    except AssertionError as error:
        return str(error)[:120]
    return None


def test_every_planted_bug_is_found() -> None:
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(MUTANTS, pool.map(found_by, MUTANTS), strict=True))
    for name, how in found.items():
        print(f"{name:42} {how}")
    missed = [name for name, how in found.items() if how is None]
    print(f"{len(found) - len(missed)} of {len(found)} planted bugs found")
    assert not missed, f"nothing finds {missed}"
    assert len(found) >= 12


def test_without_a_bug_nothing_is_found() -> None:
    silence()
    for scenario in SCENARIOS:
        assert breaks(partial(play, scenario, None)) is None
