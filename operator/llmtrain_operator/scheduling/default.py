"""The operator's own queue: gangs start when there is room for all of their pods, without any add-on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson
import structlog
from pydantic import ValidationError

from llmtrain_api import Job
from llmtrain_api.names import PLURAL

from ..kube.api import ApiError, ClusterApi
from ..kube.store import PodStore
from ..types import ADMITTED, Admission, JobRef, PlanSettings
from .admit import look
from .claims import Claims, Standing, standing
from .cluster import Cluster
from .objects import decode_quota
from .values import Claim, Quota, View

Key = tuple[str, str]
"""(namespace, name) of a job."""

TICK_SECONDS = 15.0
"""How often waiting gangs are looked at though nothing was heard of."""
PATIENT_SECONDS = 60.0
"""The same for those that are far behind."""
NEAR = 10
TOGETHER_SECONDS = 0.2
"""What changes within it is looked at once."""
FRESH_SECONDS = 5.0
"""How long quotas that were read are good for."""
GRANT_SECONDS = 60.0
"""How long room is kept for a job that was let in and is not on record as such."""
NOT_READY_SECONDS = 0.5
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Grant:
    claim: Claim
    until: float
    answer: Admission


class OwnQueue:
    """Who was let in follows from the jobs' own status; who asks is asked again by each of them.

    What is remembered between two looks is only what is not on record yet: a grant, for a minute. So a
    restart at any moment loses nothing but places that were kept.

    Args:
        api: the API server.
        pods: worker pods that are known.
        settings: what the installation says of pods.
        wake: has a job looked at.
        namespace: only jobs of it; empty = all.
        by_nodes: whether room is counted by nodes; else quotas alone decide, as where nodes come when needed.
        elsewhere: whether a job asks another scheduler for its room; it counts here once it has some.
        clock: the current moment, UTC.
    """

    def __init__(
        self,
        api: ClusterApi,
        pods: PodStore,
        settings: PlanSettings,
        wake: Callable[[Key], None],
        namespace: str = "",
        *,
        by_nodes: bool = True,
        elsewhere: Callable[[Job], bool] = lambda _: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api, self._pods, self._wake, self._namespace = api, pods, wake, namespace
        self._by_nodes, self._elsewhere, self._clock = by_nodes, elsewhere, clock
        self._claims = Claims(settings)
        self._cluster = Cluster(api, self._changed, by_nodes)
        self._known: dict[Key, tuple[Standing, Claim]] = {}
        self._seen: set[Key] = set()
        self._grants: dict[Key, _Grant] = {}
        self._more: dict[Key, tuple[float, int]] = {}
        self._preempted: dict[str, JobRef] = {}
        self._answers: dict[str, Admission] = {}
        self._quotas: dict[str, tuple[float, tuple[Quota, ...]]] = {}
        self._stale = True
        self._news = asyncio.Event()
        self._all_jobs_known = False

    # -- what is known of jobs ----------------------------------------------------------------------------

    def note(self, job: Job) -> None:
        """Take a job as it is now."""
        key = (job.metadata.namespace, job.metadata.name)
        self._seen.add(key)
        now_is = standing(job)
        if now_is is Standing.ASKS and self._elsewhere(job):
            now_is = Standing.NEITHER
        self._file(key, job, now_is)

    def forget(self, key: Key) -> None:
        """The job of that namespace and name is gone."""
        self._seen.discard(key)
        if self._known.pop(key, None) or self._grants.pop(key, None):
            self._changed()

    def _changed(self) -> None:
        """There may be more room, or less."""
        self._stale = True
        self._news.set()

    def _file(self, key: Key, job: Job, now_is: Standing) -> None:
        before = self._known.get(key)
        claim = None if now_is is Standing.NEITHER else self._claims.of(job, self._clock())
        if claim is None:
            self._known.pop(key, None)
        else:
            self._known[key] = (now_is, self._with_pods(claim))
        if now_is is Standing.HOLDS or (now_is is Standing.NEITHER and before is None):
            self._grants.pop(key, None)
        if claim is None or not claim.wants:
            self._more.pop(key, None)
        after = self._known.get(key)
        if before is None and after is None:
            return
        if before is None or after is None or before[0] is not after[0] or not _same(before[1], after[1]):
            self._changed()

    # -- the answer ---------------------------------------------------------------------------------------

    async def decide(self, job: Job) -> Admission:
        """Whether this job's gang may start now."""
        if not (self._all_jobs_known and self._cluster.ready):
            return Admission(False, retry_after=NOT_READY_SECONDS)
        key = (job.metadata.namespace, job.metadata.name)
        await self._read_quotas([key[0]])
        holds = standing(job) is Standing.HOLDS
        self._file(key, job, Standing.HOLDS if holds else Standing.ASKS)
        asked = self._known.get(key)
        if asked is None:
            return Admission(False, retry_after=NOT_READY_SECONDS)
        if holds:
            return self._of_holder(key, asked[1])
        grant = self._grants.get(key)
        if grant is not None and _same(grant.claim, asked[1]):
            return grant.answer
        self._grants.pop(key, None)
        uid = job.metadata.uid
        if self._stale or uid not in self._answers:
            self._look(woken_by=key)
        answer = self._answers[uid]
        if answer.admitted or answer.retry_after is not None:
            return answer
        return replace(
            answer, retry_after=TICK_SECONDS if (answer.position or 0) <= NEAR else PATIENT_SECONDS
        )

    def _of_holder(self, key: Key, claim: Claim) -> Admission:
        """With how many pods one goes on that was let in. More of them are kept for it, like a grant."""
        if not (claim.refits or claim.wants):
            return ADMITTED
        if self._stale or claim.job.uid not in self._answers:
            self._look()
        answer = self._answers[claim.job.uid]
        if claim.wants and answer.nodes is not None and answer.nodes > claim.nodes and key not in self._more:
            self._more[key] = asyncio.get_running_loop().time() + GRANT_SECONDS, answer.nodes
            self._changed()
        return answer

    def _held(self, key: Key, claim: Claim) -> Claim:
        """What one that was let in holds: with what it may grow to, until that is on record."""
        claim = self._with_priority(claim)
        return replace(claim, nodes=max(claim.nodes, self._more[key][1])) if key in self._more else claim

    def _look(self, woken_by: Key | None = None) -> None:
        """One round over the whole queue; who is let in by it is woken, but for who asks."""
        now = asyncio.get_running_loop().time()
        self._grants = {key: grant for key, grant in self._grants.items() if grant.until > now}
        nodes = self._cluster.nodes if self._by_nodes else None
        self._more = {key: more for key, more in self._more.items() if more[0] > now}
        held = [(key, claim) for key, (at, claim) in self._known.items() if at is Standing.HOLDS]
        holders = [self._held(key, claim) for key, claim in held]
        holders += [_granted(grant) for grant in self._grants.values()]
        queue = {
            key: self._with_priority(claim)
            for key, (at, claim) in self._known.items()
            if at is Standing.ASKS and key not in self._grants
        }
        view = View(
            now=self._clock(),
            nodes=nodes,
            used=self._cluster.used,
            quotas={namespace: quotas for namespace, (_, quotas) in self._quotas.items()},
            one_at_a_time=self._by_nodes and nodes is None,
        )
        seen = self._with_pods if nodes is None else self._on_nodes
        found = look(map(seen, holders), queue.values(), view)
        self._answers = found.answers
        for key, claim in held:
            if claim.job.uid in found.preempted and claim.job.uid not in self._preempted:
                self._wake(key)
        self._preempted = found.preempted
        self._stale = False
        for key, claim in queue.items():
            answer = self._answers[claim.job.uid]
            if answer.admitted:
                self._grants[key] = _Grant(claim, now + GRANT_SECONDS, answer)
                if key != woken_by:
                    self._wake(key)

    def _with_priority(self, claim: Claim) -> Claim:
        return replace(claim, priority=self._cluster.priority(claim.demand.priority_class))

    def _with_pods(self, claim: Claim) -> Claim:
        """With its pods as they are known."""
        own = [p for p in self._pods.of_job(claim.job) if p.stage is None and not p.terminal]
        return replace(claim, placed=Counter(p.node for p in own if p.node), made=len(own))

    def _on_nodes(self, claim: Claim) -> Claim:
        """Where its pods are, from the same source as what is used of nodes: or the two would not agree."""
        return replace(self._with_pods(claim), placed=self._cluster.placed(claim.job.uid))

    def wants_back(self, job: Job) -> str:
        """Who was let in stays, but for one that may go and is in the way of a more urgent one."""
        # what the last look found may be older than what the job has on record
        taker = self._preempted.get(job.metadata.uid) if standing(job) is Standing.HOLDS else None
        return f"job {taker.namespace}/{taker.name} of higher priority takes its place" if taker else ""

    # -- loops --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for loop in self._cluster.loops():
                group.create_task(loop)
            group.create_task(self._work())

    async def _work(self) -> None:
        await self._list_jobs()
        due = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._news.wait()
            await asyncio.sleep(TOGETHER_SECONDS)
            self._news.clear()
            waiting = [
                key for key, (at, _) in self._known.items() if at is Standing.ASKS and key not in self._grants
            ]
            if not waiting or not self._cluster.ready:
                continue
            await self._read_quotas({namespace for namespace, _ in waiting})
            if self._stale:
                self._look()
            now = asyncio.get_running_loop().time()
            if now >= due:
                due = now + PATIENT_SECONDS
                self._stale = True  # what running jobs expect of their end changes too
                self._check_holders()

    def _check_holders(self) -> None:
        """Who keeps room without pods may be gone: its deletion was not heard of."""
        for key, (at, claim) in self._known.items():
            if at is Standing.HOLDS and not self._pods.of_job(claim.job):
                self._wake(key)

    async def _list_jobs(self) -> None:
        """All jobs once: none is let in before it is known who was."""
        while not self._all_jobs_known:
            try:
                listing = await self._api.list(PLURAL, self._namespace, "")
            except ApiError as error:
                log.warning("jobs-not-listed", reason=str(error))
                await asyncio.sleep(1.0)
                continue
            for raw in listing.items:
                self._note_listed(raw)
            self._all_jobs_known = True

    def _note_listed(self, raw: bytes) -> None:
        try:
            job = Job.model_validate(orjson.loads(raw))
        except ValidationError:
            # its own reconciliation tells it
            return
        if (job.metadata.namespace, job.metadata.name) not in self._seen:
            self.note(job)

    async def _read_quotas(self, namespaces: Iterable[str]) -> None:
        """Those of these namespaces that were not read just now; none where they may not be read."""
        for namespace in namespaces:
            now = asyncio.get_running_loop().time()
            read, before = self._quotas.get(namespace, (float("-inf"), ()))
            if now - read < FRESH_SECONDS:
                continue
            try:
                listing = await self._api.list("resourcequotas", namespace, "")
                found = tuple(q for q in map(decode_quota, listing.items) if q is not None)
            except ApiError as error:
                found = () if error.status in (401, 403) else before
            self._quotas[namespace] = (now, found)
            self._stale |= found != before


def _granted(grant: _Grant) -> Claim:
    """What is kept for one that was let in."""
    nodes = grant.claim.nodes if grant.answer.nodes is None else grant.answer.nodes
    return replace(grant.claim, nodes=nodes, least=None)


def _same(one: Claim, other: Claim) -> bool:
    """Whether they ask for the same, now or later, and have as much of it; when they expect to be done does
    not count."""
    return one.demand is other.demand and _figures(one) == _figures(other)


def _figures(claim: Claim) -> tuple[object, ...]:
    size = claim.nodes, claim.least, claim.refits, claim.wants, claim.yields, claim.leaves
    return claim.job, size, claim.unplaced, claim.made, claim.not_before is None
