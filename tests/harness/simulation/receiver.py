"""Somebody who is told of jobs, and what must hold of all that is told."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmtrain_operator.kube.api import Object
from llmtrain_operator.notifications.body import Body
from llmtrain_operator.notifications.post import Answer
from llmtrain_operator.types import Outcome

if TYPE_CHECKING:
    from harness.simulation.monitor import Monitor

PHASES = ("Queued", "Running", "Suspended", "Succeeded", "Failed")
EVERYTHING = [*PHASES, "Restarting", "Resumed", "Refused"]
URL = "https://receiver.example/hook"
NOTIFY = {"events": EVERYTHING, "url": URL}
MOST_RECORDS = 43
Told = tuple[str, str, int | None]
"""(job UID, event, attempt)."""


class Receiver:
    """Outlives operators, as it is no part of them.

    Attributes:
        fails: so many of the next posts are answered with a 503.
        loses: so many of the next posts arrive, while their answers are lost.
        refuses: whether every post is answered with a 404.
        hangs: whether no post is ever answered.
        heard: how often each was told, by id.
        due: what has happened to jobs that want it told, by the test's own reading of their records.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self.fails = self.loses = self.lost = 0
        self.refuses = self.hangs = False
        self.heard: dict[Told, list[str]] = defaultdict(list)
        self.due: dict[Told, None] = {}
        self.over: dict[str, Object] = {}

    # -- what is told -------------------------------------------------------------------------------------

    def take(self, body: Body) -> Answer:
        event = json.loads(body.content)
        data = event["data"]
        told = (data["uid"], data["event"], data.get("attempt"))
        if self.refuses:
            return Answer(Outcome.REFUSED, "it answers with status 404")
        if self.fails > 0:
            self.fails -= 1
            return Answer(Outcome.FAILED, "it answers with status 503")
        self._monitor.must(told in self.due, f"told of {told}, which is not on record")
        self.heard[told].append(event["id"])
        if self.lost < self.loses:
            self.lost += 1
            return Answer(Outcome.FAILED, "it gave no answer")
        return Answer(Outcome.DELIVERED)

    # -- what is on record --------------------------------------------------------------------------------

    def status(self, job: Object, before: dict[str, Any], after: dict[str, Any]) -> None:
        """One write of a job's status."""
        wanted = {event for one in job["spec"].get("notify") or () for event in one["events"]}
        uid, attempt = job["metadata"]["uid"], after.get("attempt")
        if not wanted:
            return
        self.over[uid] = job
        found = after.get("notifications") or []
        self._monitor.must(len(found) <= MOST_RECORDS, f"{len(found)} notifications on record")
        phase = after.get("phase")
        # of a queue without a word nothing is told
        silent = phase == "Queued" and not after.get("waiting")
        if phase in PHASES and phase != before.get("phase") and phase in wanted and not silent:
            self.due[uid, phase, attempt] = None
        again = attempt is not None and before.get("attempt") is not None and attempt != before["attempt"]
        if again and after.get("failure") != before.get("failure") and "Restarting" in wanted:
            self.due[uid, "Restarting", attempt] = None
        if before.get("phase") == "Suspended" != phase and "Resumed" in wanted:
            self.due[uid, "Resumed", attempt] = None

        if "Refused" in wanted and refusal(after) not in (None, refusal(before)):
            self.due[uid, "Refused", attempt] = None

    def deleted_by_operator(self, job: Object) -> None:
        """With its object goes what was still to be told."""
        left = [n for n in (job.get("status") or {}).get("notifications") or () if n["state"] == "Pending"]
        self._monitor.must(not left, f"{len(left)} notifications are lost with the job")

    # -- in the end ---------------------------------------------------------------------------------------

    def wrong(self, *, struck: bool) -> str | None:
        """What is wrong with all that was told; None when nothing is.

        Args:
            struck: whether an operator died or a write failed: then something may be told twice.
        """
        ids = [one for told in self.heard.values() for one in set(told)]
        if len(ids) != len(set(ids)) or any(len(set(told)) != 1 for told in self.heard.values()):
            return f"an id names two events, or an event has two: {dict(self.heard)}"
        twice = [told for told, heard in self.heard.items() if len(heard) > 1]
        if twice and not struck and not self.lost:
            return f"told twice: {twice}"
        states = {n["state"] for job in self.over.values() for n in job["status"].get("notifications") or ()}
        if "Pending" in states:
            return "something is still to be told"
        if self.refuses or self.hangs:
            return None if states <= {"GivenUp"} and not self.heard else f"given up, and {states}"
        missed = [told for told in self.due if told not in self.heard]
        return f"never told: {missed}" if missed else None


def refusal(status: dict[str, Any]) -> str | None:
    """Why the job is not accepted, if it is not."""
    found = (c for c in status.get("conditions") or () if (c["type"], c["status"]) == ("Accepted", "False"))
    return next((c["message"] for c in found), None)


class Line:
    """From one operator process to the receiver: cut when the process dies."""

    def __init__(self, receiver: Receiver, dead: Callable[[], bool]) -> None:
        self._receiver, self._dead = receiver, dead

    async def send(self, url: str, body: Body) -> Answer:
        assert url == URL
        await asyncio.sleep(0.2)
        if self._dead():
            await asyncio.Future()
        if self._receiver.hangs:
            await asyncio.sleep(10.0)
            return Answer(Outcome.FAILED, "it did not answer within 10 s")
        answer = self._receiver.take(body)
        await asyncio.sleep(0.2)
        return answer

    async def close(self) -> None:
        pass
