"""Faults between the operator and its API: every call and every watch goes through here."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from harness.simulation.timeline import Timeline
from harness.simulation.virtual import at_once

from llmtrain_operator.kube.api import ApiError, Listing, Object, WatchEvent
from llmtrain_operator.local.memory_api import MemoryApi

CALL_FAULTS = ("lag", "conflict", "conflict", "throttled", "server-error", "answer-lost", "timeout")
WATCH_FAULTS = (
    "watch-lag",
    "watch-loss",
    "watch-loss",
    "watch-duplicate",
    "watch-stale",
    "watch-broken",
    "watch-gone",
    "watch-gone",
)
LATE_SECONDS = 3.0
Refuse = Callable[[str, Object], ApiError | None]


@dataclass
class Chaos:
    """How bad it is now, and the fate of single writes.

    Attributes:
        lose: how many of the next events of pods are lost without a trace.
        replay: after so many of the next events of pods the one before comes once more.
        unheard: the pod whose create is carried out, while its answer and its event are lost.
        slow_writes: so many of the next writes are under way for 5 s.
        slow_lists: so many of the next lists of pods answer 5 s late, and tell what was there before.
        served: how often each call was made, by verb and resource.
        late: the pod whose create is under way when the operator dies: it is carried out 3 s later, unheard.
        most_calls: more than any life needs; then the operator asks without pause.
        rate: share of calls and events that something happens to.
        fatal: (n, "before" | "after" | a fault): the fate of the operator's n-th write, counted from 1.
        refuse: what admission says to a create.
        denied: resources that the operator may not list.
    """

    rng: Random
    timeline: Timeline
    now: Callable[[], float]
    phase: Callable[[], str]
    rate: float = 0.0
    watch_faults: tuple[str, ...] = WATCH_FAULTS
    lose: int = 0
    replay: int = 0
    slow_writes: int = 0
    slow_lists: int = 0
    unheard: str = ""
    down_until: float = 0.0
    fatal: tuple[int, str] | None = None
    refuse: Refuse | None = None
    denied: frozenset[str] = frozenset()
    writes: int = 0
    calls: int = 0
    served: Counter[tuple[str, str]] = field(default_factory=Counter)
    late: str = ""
    most_calls: int = 20_000
    runaway: Callable[[], None] = lambda: None
    die: Callable[[], None] = lambda: None

    def strike(self, kind: str, what: str, phase: str | None = None) -> None:
        self.timeline.fault(self.now(), kind, phase or self.phase(), what)

    def loses(self, resource: str, event: WatchEvent) -> bool:
        """Whether this event is one that a scenario wants lost."""
        if resource == "pods" and self.lose:
            self.lose -= 1
            return True
        unheard = (name for name in (self.unheard, self.late) if name)
        named = any(f'"name":"{name}"'.encode() in event.object for name in unheard)
        return named and event.kind == "ADDED"

    def pick(self, kinds: tuple[str, ...]) -> str | None:
        """A fault for this call or event, or none."""
        return self.rng.choice(kinds) if self.rate and self.rng.random() < self.rate else None


class FaultyApi:
    """What one operator process sees of the API. Dead with its process: no call of it returns any more."""

    def __init__(self, real: MemoryApi, chaos: Chaos) -> None:
        self._real = real
        self._chaos = chaos
        self.dead = False
        self.deaf: Callable[[WatchEvent], bool] = lambda _: False
        self.deleting: Callable[[str, str, str, int], None] = lambda *_: None

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        await self._reach(
            "get", f"{resource} {name}", self._chaos.pick(("lag", "throttled", "server-error", "timeout"))
        )
        return await self._real.get(resource, namespace, name)

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        await self._reach("list", resource, self._chaos.pick(("lag", "throttled", "server-error", "timeout")))
        if resource in self._chaos.denied:
            raise ApiError(403, "Forbidden", f"{resource} is forbidden")
        found = await self._real.list(resource, namespace, selector)
        if resource == "pods" and selector and self._chaos.slow_lists:
            self._chaos.slow_lists -= 1
            await asyncio.sleep(5.0)
        if self._chaos.pick(("lag",)):
            self._chaos.strike("list-old", resource)
            await asyncio.sleep(self._chaos.rng.uniform(0.1, 5.0))
        return found

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        async def write() -> Object:
            no = self._chaos.refuse(resource, body) if self._chaos.refuse else None
            if no is not None:
                raise no
            return await self._real.create(resource, namespace, body)

        found: Object = await self._write(
            "create", f"{resource} {body['metadata']['name']}", write, resource != "events"
        )
        return found

    async def delete(self, resource: str, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        async def write() -> None:
            self.deleting(resource, namespace, name, grace_seconds)
            await self._real.delete(resource, namespace, name, uid, grace_seconds)

        await self._write("delete", f"{resource} {name} grace {grace_seconds}", write, True)

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        async def write() -> Object:
            return await self._real.patch_status(resource, namespace, name, patch)

        found: Object = await self._write("patch", f"{resource} {name} {_gist(patch)}", write, True)
        return found

    async def _reach(self, verb: str, what: str, fault: str | None) -> None:
        """The way to the server: late, throttled, or not at all."""
        chaos = self._chaos
        chaos.calls += 1
        chaos.served[verb, what.split()[0]] += 1
        if chaos.calls == chaos.most_calls:
            chaos.runaway()
        if self.dead or chaos.calls >= chaos.most_calls:
            await asyncio.Future()
        if chaos.now() < chaos.down_until:
            raise ApiError(0, "ConnectionLost", "connection refused")
        if fault is not None:
            chaos.strike(fault, f"{verb} {what}")
            await _suffer(fault, chaos.rng)
        if self.dead:
            await asyncio.Future()

    async def _write(self, verb: str, what: str, write: Callable[[], Any], counted: bool) -> Any:
        chaos = self._chaos
        fate = None
        if counted and not self.dead:
            chaos.writes += 1
            fate = chaos.fatal[1] if chaos.fatal and chaos.fatal[0] == chaos.writes else None
        if fate == "before":
            await self._death(f"before {verb} {what}")
        fault = fate if fate in CALL_FAULTS else chaos.pick(CALL_FAULTS)
        if verb == "create" and what == f"pods {chaos.late}":
            # the process dies, what it has sent does not
            chaos.timeline.tell(chaos.now(), "operator", f"sends {what}, which is under way")
            asyncio.get_running_loop().call_later(LATE_SECONDS, at_once_if_new, write)
            await asyncio.Future()
        if verb == "create" and what == f"pods {chaos.unheard}":
            fault = "answer-lost"
        if fault == "conflict" and verb != "patch":
            fault = "answer-lost"
        if chaos.slow_writes:
            chaos.slow_writes -= 1
            await asyncio.sleep(5.0)
        await self._reach(verb, what, None if fault == "answer-lost" else fault)
        chaos.timeline.tell(chaos.now(), "operator", f"{verb} {what}")
        phase = chaos.phase()
        found = await write()
        if fate == "after":
            await self._death(f"after {verb} {what}")
        if fault == "answer-lost":
            chaos.strike(fault, f"{verb} {what}", phase)
            await asyncio.sleep(chaos.rng.uniform(0.0, 30.0))
            raise ApiError(504, "Timeout", "the answer was lost")
        return found

    async def _death(self, where: str) -> None:
        self._chaos.strike("operator-death", where)
        self.dead = True
        self._chaos.die()
        await asyncio.Future()

    async def watch(
        self, resource: str, namespace: str, selector: str, resource_version: str
    ) -> AsyncGenerator[WatchEvent]:
        await self._reach("watch", resource, self._chaos.pick(("throttled", "server-error")))
        before: deque[WatchEvent] = deque(maxlen=5)
        async for event in self._real.watch(resource, namespace, selector, resource_version):
            if self.deaf(event):
                continue
            async for seen in self._disturbed(resource if selector else "", event, before):
                yield seen
        if self._chaos.now() < self._chaos.down_until:
            raise ApiError(0, "ConnectionLost", "the API server went away")

    async def _disturbed(
        self, resource: str, event: WatchEvent, before: deque[WatchEvent]
    ) -> AsyncGenerator[WatchEvent]:
        chaos = self._chaos
        fault = "watch-loss" if chaos.loses(resource, event) else chaos.pick(chaos.watch_faults)
        if fault is not None:
            chaos.strike(fault, f"{resource} {event.kind}")
        if fault == "watch-broken":
            raise ApiError(0, "ConnectionLost", "connection reset by peer")
        if fault == "watch-gone":
            yield WatchEvent("ERROR", b'{"kind":"Status","code":410,"message":"too old resource version"}')
        if fault == "watch-lag":
            await asyncio.sleep(chaos.rng.uniform(0.1, 20.0))
        if fault != "watch-loss":
            yield event
        if resource == "pods" and chaos.replay and before:
            chaos.replay -= 1
            chaos.strike("watch-stale", "the event before once more")
            yield before[-1]
        if fault == "watch-duplicate":
            yield event
        if fault == "watch-stale" and before:
            yield chaos.rng.choice(before)
        before.append(event)


async def _suffer(fault: str, rng: Random) -> None:
    if fault == "lag":
        await asyncio.sleep(rng.uniform(0.05, 8.0))
    elif fault == "conflict":
        raise ApiError(409, "Conflict", "the object has been modified")
    elif fault == "throttled":
        raise ApiError(429, "TooManyRequests", "too many requests", 1.0)
    elif fault == "server-error":
        raise ApiError(500, "InternalError", "etcdserver: request timed out")
    elif fault == "timeout":
        await asyncio.sleep(30.0)
        raise ApiError(0, "ConnectionLost", "TimeoutError")


def at_once_if_new(write: Callable[[], Any]) -> None:
    """Carry a create out; that it is there already is no news."""
    with suppress(ApiError):
        at_once(write())


def _gist(patch: Object) -> str:
    status = patch.get("status", {})
    shown = {key: status[key] for key in ("phase", "attempt", "checkpoint", "progress") if key in status}
    if "progress" in shown:
        shown["progress"] = (shown["progress"] or {}).get("summary", "...")
    return str(shown or sorted(status))
