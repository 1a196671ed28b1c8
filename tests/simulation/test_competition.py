"""Random lives of several jobs that want the same two nodes: what is let in fits, and each gets its turn."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import pytest
from harness.simulation.competition import compete
from harness.simulation.mutants import MUTANTS
from harness.simulation.quiet import silence

pytestmark = pytest.mark.timeout(1800)
LIVES = 400


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence()


def lived(seed: int) -> tuple[int, str, str]:
    """How often somebody had to queue; what broke, and its timeline."""
    silence()
    try:
        world = compete(seed)
    except AssertionError as error:
        return 0, f"seed {seed}: {error}", error.timeline.page()  # type: ignore[attr-defined]
    return sum("'Queued'" in what for _, _, what in world.timeline.lines), "", ""


def test_jobs_that_want_the_same_nodes() -> None:
    with ProcessPoolExecutor(2) as pool:
        lives = list(pool.map(lived, range(LIVES), chunksize=5))
    broken = [(message, page) for _, message, page in lives if message]
    queued = [count for count, _, _ in lives]
    print(f"{len(lives)} lives, {sum(map(bool, queued))} with a queue, {sum(queued)} times somebody queued")
    assert not broken, f"{broken[0][1]}\n\n{[message for message, _ in broken]}"
    assert sum(map(bool, queued)) > LIVES / 4, "hardly anybody had to wait"


@pytest.mark.parametrize(
    "bug", ["everybody_is_let_in", "what_was_promised_is_given_away", "what_is_over_keeps_its_room"]
)
def test_they_find_a_planted_bug(bug: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS[bug](patch)
        assert any(lived(seed)[1] for seed in range(20))
