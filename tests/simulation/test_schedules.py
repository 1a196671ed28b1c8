"""Thousands of random lives under faults: no invariant breaks, and each life ends as its pods justify.

1,500 in `make test` and 20,000 others in `make proofs`, of which ``LLMTRAIN_SCHEDULES`` sets another number
(`make simulate`: 100,000).
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import median

import pytest
from harness.simulation.chaos import CALL_FAULTS, WATCH_FAULTS
from harness.simulation.quiet import silence
from harness.simulation.schedule import live, tally

pytestmark = pytest.mark.timeout(7200)
EVERYDAY = 1_500
PROOF = int(os.environ.get("LLMTRAIN_SCHEDULES", "20000"))
CHUNK = 250
SILENT = {
    ("Deleted", "conflict"),
    ("Deleted", "answer-lost"),
    ("Succeeded", "conflict"),
    ("Failed", "conflict"),
}
"""No status is written after a job's end, and nothing at all once it is gone: nothing there can fail."""
RARE = {("Succeeded", "watch-loss"), ("Failed", "watch-loss")}
"""Little is told after a job's end that could be lost: 20,000 lives meet these at times, and at times not."""
PHASES = (
    "New",
    "Pending",
    "Preparing",
    "Starting",
    "Running",
    "Restarting",
    "Succeeded",
    "Failed",
    "Deleted",
)
FAULTS = (
    *dict.fromkeys(CALL_FAULTS),
    *dict.fromkeys(WATCH_FAULTS),
    "operator-death",
    "api-restart",
    "compaction",
    "quota",
    "list-old",
)
CLUSTER_FAULTS = ("node-loss", "stranger", "rights", "webhook")
"""Of the cluster around the operator: each needs something to strike at, so not all phases can see all."""


@pytest.mark.parametrize(
    "seeds",
    [range(EVERYDAY), pytest.param(range(EVERYDAY, EVERYDAY + PROOF), marks=pytest.mark.proof)],
    ids=lambda seeds: f"{len(seeds)} lives",
)
def test_random_schedules(seeds: range) -> None:
    chunks = [seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(2) as pool:
        tallies = list(pool.map(tally, chunks))
    events = [count for found in tallies for count in found.events]
    struck = Counter[str]()
    for found in tallies:
        struck.update(found.faults)
    reached = set().union(*(found.reached for found in tallies))
    print(f"{len(events)} schedules, {median(events):.0f} events in the median, {sum(events)} in all")
    print("faults:", ", ".join(f"{kind} {struck[kind]}" for kind in (*FAULTS, *CLUSTER_FAULTS)))
    possible = set(product(PHASES, FAULTS)) - SILENT
    missed = sorted(possible - reached)
    print(f"phase x fault: {len(possible & reached)} of {len(possible)} reached; never: {missed}")
    failures = [failure for found in tallies for failure in found.failures]
    for seed, message, page in failures[:2]:
        print(f"{page}\n\nseed {seed}: {message}\npython -m harness.simulation.schedule {seed}\n")
    assert not failures, f"{len(failures)} lives broke: seeds {[seed for seed, _, _ in failures]}"
    assert median(events) >= 30
    if len(seeds) >= 20_000:
        assert min(struck[kind] for kind in (*FAULTS, *CLUSTER_FAULTS)) >= 900
        assert not set(missed) - RARE


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence()


def test_a_seed_tells_the_same_story_each_time() -> None:
    for seed in range(5):
        first, again = live(seed).timeline, live(seed).timeline
        assert [line[1:] for line in first.lines] == [line[1:] for line in again.lines]
