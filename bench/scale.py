"""What the operator's process takes with many jobs: memory, CPU of an event, its longest stretches of work.

``python -m bench.scale [--jobs 2500] [--nodes 4]``: the operator's own reflectors and engine over an API that
answers at once and costs next to nothing (`bench.copies`). A stretch is what the event loop does between two
looks at what else is due, in CPU time: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import time
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.heap import spare_first_looks, spare_what_stays
from llmtrain_operator.kube.reflector import PodReflector
from llmtrain_operator.kube.store import PodStore

from .copies import Copies, Engine, Sample, sample, until

MOST_MEMORY, MOST_EVENT, MOST_STRETCH = 250.0, 150.0, 20.0
"""What is aimed at: MB, microseconds and milliseconds."""
QUIET_SECONDS = 20.0


@contextmanager
def stretches() -> Iterator[list[float]]:
    """The CPU milliseconds of each turn of the loop, the longest first once it is over."""
    honest, found = events.Handle._run, list[float]()

    def watched(handle: events.Handle) -> None:
        began = time.thread_time()
        honest(handle)
        found.append((time.thread_time() - began) * 1e3)

    events.Handle._run = watched  # type: ignore[assignment, method-assign]
    try:
        yield found
    finally:
        events.Handle._run = honest  # type: ignore[method-assign]
        found.sort(reverse=True)


def resident() -> float:
    """MB that this process holds in memory."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def changed_pod(pod: bytes, version: int) -> bytes:
    """The pod with something that nobody decides on changed, as most of its events have."""
    found = orjson.loads(pod)
    found["metadata"] |= {"resourceVersion": str(version), "annotations": {"example.com/seen": str(version)}}
    return orjson.dumps(found)


async def event_microseconds(of: Sample, count: int) -> float:
    """CPU of one event of a pod: from its JSON to who is woken, with that many pods known."""
    api, store, woken = Copies(of, count), PodStore(), WorkQueue()
    reflector = PodReflector(api, store, lambda pod: woken.add((pod.namespace, pod.job)))
    task = asyncio.ensure_future(reflector.run())
    await asyncio.wait_for(reflector.synced.wait(), 600)
    texts = [changed_pod(pod, 1_500_000) for number in range(count) for pod in of.copies(number)[1]]
    last = store_versions(store)
    for text in texts:
        api.told.put_nowait(text)
    began = time.process_time()
    await until(lambda: not api.told.qsize())
    spent = time.process_time() - began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert store_versions(store) != last
    return spent / len(texts) * 1e6


def store_versions(store: PodStore) -> int:
    """A sum that every event changes."""
    return sum(pod.resource_version for pod in store._pods.values())


async def with_all(of: Sample, count: int) -> dict[str, float]:
    """All jobs are listed and looked at, then each pod changes once, then nothing happens."""
    api = Copies(of, count)
    engine = Engine(api)
    figures: dict[str, float] = {}
    with stretches() as found:
        async with engine.up():
            await engine.pods.synced.wait()
            spare_what_stays()  # as the operator does once it knows all
            found.clear()
            await asyncio.gather(spare_first_looks(engine.queue.__len__), looked_at(engine, count))
            figures["list"] = max(found)
            found.clear()
            began, looks = time.process_time(), engine.reconciler.looks
            for number in range(count):
                for pod in of.copies(number)[1]:
                    api.told.put_nowait(changed_pod(pod, 1_500_000))
                    await asyncio.sleep(0)
            await looked_at(engine, looks + 1)
            figures["events"] = (time.process_time() - began) * 1e6 / (count * len(of.pods))
            figures["stretch"] = max(found)
            figures["memory"] = resident()
            calls, looks = api.calls, engine.reconciler.looks
            await asyncio.sleep(QUIET_SECONDS)
            figures["calls"], figures["looks"] = api.calls - calls, engine.reconciler.looks - looks
    return figures


async def looked_at(engine: Engine, looks: int) -> None:
    """Until there were so many looks, and nobody waits for one."""
    await until(lambda: engine.reconciler.looks >= looks and not len(engine.queue))
    await asyncio.sleep(1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2500)
    parser.add_argument("--nodes", type=int, default=4)
    arguments = parser.parse_args()
    importlib.import_module("llmtrain_operator.__main__")
    spare_what_stays()
    running = asyncio.run(sample(arguments.nodes, done=False))
    over = asyncio.run(sample(arguments.nodes, done=True))
    event = asyncio.run(event_microseconds(running, arguments.jobs))
    busy = asyncio.run(with_all(running, arguments.jobs))
    quiet = asyncio.run(with_all(over, arguments.jobs))
    rows = (
        ("memory of the process, MB", busy["memory"], MOST_MEMORY),
        ("CPU of a pod's event until somebody is woken, µs", event, MOST_EVENT),
        ("the same with what is decided then, µs", busy["events"], None),
        ("longest stretch of the loop while each pod changes once, ms", busy["stretch"], MOST_STRETCH),
        ("longest stretch while each job is looked at first, ms", busy["list"], MOST_STRETCH),
        (f"reads and writes in {QUIET_SECONDS:.0f} s of jobs that are over", quiet["calls"], 0),
        ("looks at jobs that are over in that time", quiet["looks"], 0),
    )
    print(f"\n{arguments.jobs} jobs with {arguments.jobs * arguments.nodes} pods\n")
    print("| | | aimed at |\n|---|---|---|")
    for words, figure, goal in rows:
        print(f"| {words} | {figure:.0f} | {'' if goal is None else f'{goal:.0f}'} |")


if __name__ == "__main__":
    main()
