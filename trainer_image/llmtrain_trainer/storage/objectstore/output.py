"""A job's output in an object store, as its launchers see it. Each node has a private folder for its part."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from typing_extensions import override

from llmtrain_api import JobFile, Results

from ... import log
from ...checkpoint.fence import Fence, raise_fence
from ...checkpoint.ownership import candidates, claim_private, uri_of
from ...checkpoint.resume import Resume, resume_of
from ...data.store import MARKER, TOKENS, read_marker, tokens_torn
from ...errors import ConfigError
from ...files import differing, stays_inside
from ...output import Output
from ...records import EvaluationRecord, StartRecord, read_record
from ..base import ClaimedOutput, Joined, OutputStore, PassOver, Pause
from ..start_marker import NodeZeroFailed, Start, failure
from . import record
from .agreement import Look, fault_of_any
from .bucket import Bucket
from .ledger import Ledger
from .steps import FOLDER, UNLISTED, fetch_step, left_over, listed

HINT = (
    "create the bucket, or name a Secret in output.secret that holds AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY and, for a store that is not Amazon's, AWS_ENDPOINT_URL"
)
EXPORT = "export"


class ObjectOutputStore(OutputStore):
    """The prefix that the job names, or the one beside it."""

    poll = 2.0

    def __init__(self, job: JobFile) -> None:
        self.job = job
        self._looks: dict[int, Look] = {}

    @override
    def claim(self) -> ClaimedOutput:
        try:
            output, ledger = self._own() or self._claim()
        except (FileNotFoundError, PermissionError) as error:
            raise ConfigError(f"output.uri: {error.strerror or error}", HINT) from error
        claim_private(output, self.job)
        return ClaimedPrefix(self.job, output, ledger, Look(self.job, 0))

    def _own(self) -> tuple[Output, Ledger] | None:
        for output in candidates(self.job):
            ledger = ledger_of(self.job, output)
            if ledger.read().owner.job_uid == self.job.job.uid:
                return output, ledger
        return None

    def _claim(self) -> tuple[Output, Ledger]:
        base, beside = candidates(self.job)
        ledger = ledger_of(self.job, base)
        try:
            ledger.append(record.claim(self.job))
            return base, ledger
        except record.Beside:
            ledger = ledger_of(self.job, beside)
            ledger.append(record.claim(self.job))
            return beside, ledger

    @override
    def read_start(self, node_rank: int) -> Joined | None:
        output, ledger = self._own() or (None, None)
        if output is None or ledger is None:
            return None
        now = ledger.newest
        look = self._looks.setdefault(node_rank, Look(self.job, node_rank))
        claimed = ClaimedPrefix(self.job, output, ledger, look)
        if now.ready is not None and now.ready.attempt == self.job.attempt:
            claim_private(output, self.job)
            return Joined(claimed, claimed.follow(now, now.ready))
        # node 0 asks while it chooses, and whoever prepares data in its name is not asked
        if node_rank and now.candidate is not None and now.attempt == self.job.attempt:
            claim_private(output, self.job)
            claimed.answer(now, now.candidate)
        return None

    @override
    def heartbeat(self) -> str | None:
        for output in candidates(self.job):
            try:
                up = output.up(self.job.attempt, 0, self.job.job.uid)
                return ledger_of(self.job, output).bucket.read(up).decode()
            except FileNotFoundError:
                continue
        return None


class ClaimedPrefix(ClaimedOutput):
    """The prefix whose newest record names this job as the owner."""

    def __init__(self, job: JobFile, output: Output, ledger: Ledger, look: Look) -> None:
        self.job, self.output, self.ledger, self.look = job, output, ledger, look

    @override
    def finished(self) -> Results | None:
        return self.ledger.read().results

    @override
    def raise_fence(self) -> Fence:
        fence = raise_fence(self.output, self.job)
        bucket, now = self.ledger.bucket, self.ledger.append(record.fence(fence))
        for prefix in left_over(bucket.sizes(FOLDER), now, fence):
            bucket.delete(prefix)
        return fence

    @override
    def fetch_data(self, fence: Fence) -> None:
        prefix = self.ledger.newest.data
        if prefix is None or read_marker(fence.output.data):
            return
        folder = fence.folder / "data"
        log.get().info("downloading prepared data", store=self.ledger.bucket.url)
        names = self.ledger.bucket.sizes(prefix)
        reason = next(
            (f"{name!r} is not a name inside a folder" for name in names if not stays_inside(name)), None
        )
        if reason is None:
            self.ledger.bucket.download(prefix, names, folder)
            marker = read_marker(folder)
            reason = differing(folder, marker.files) if marker else f"no readable {MARKER}"
            reason = reason or self._take_tokens(folder, fence)
        if reason:
            log.get().warning("the prepared data in the store are torn", reason=reason)
            shutil.rmtree(folder, ignore_errors=True)
            return
        fence.commit("data", fence.output.data)

    def _take_tokens(self, folder: Path, fence: Fence) -> str | None:
        """Put the token set that came with data where they look for it; what is wrong with it, in words."""
        marker = read_marker(folder)
        if marker is None or marker.token_set is None or marker.token_set.cached:
            return None
        came, place = folder / TOKENS, fence.output.tokens
        if reason := tokens_torn(came.with_name(MARKER), marker, None, contents=True):
            return reason
        shutil.rmtree(place, ignore_errors=True)
        came.rename(place)
        return None

    @override
    def upload_data(self, fence: Fence) -> None:
        marker = read_marker(fence.output.data)
        assert marker is not None, "prepared first"
        prefix = f"data/{marker.digest[:16]}"
        if self.ledger.newest.data == prefix:
            return
        log.get().info("uploading prepared data", store=self.ledger.bucket.url)
        self.ledger.bucket.upload(fence.output.data, [*marker.files, MARKER], prefix)
        if marker.token_set and not marker.token_set.cached:
            self.ledger.bucket.upload(fence.output.tokens, _files(fence.output.tokens), f"{prefix}/{TOKENS}")
        old = self.ledger.newest.data
        self.ledger.append(record.by(fence, "data prepared", data=prefix))
        if old:
            self.ledger.bucket.delete(old)

    @override
    def choose(
        self, fence: Fence, fingerprints: dict[str, Any], pass_over: PassOver, pause: Pause
    ) -> Resume | None:
        # What is downloaded was read by then, and need not be again
        bucket, steps = self.ledger.bucket, self.ledger.newest.steps
        for step in self.ledger.newest.committed:
            log.get().info("downloading a checkpoint", step=step, store=bucket.url)
            manifest = listed(bucket, steps[str(step)])
            if manifest is None:
                pass_over(step, UNLISTED)
                continue
            resume = resume_of(self.job, step, manifest, fingerprints)
            fault = fault_of_any(self.ledger, fence, step, self.look, pause)
            if fault is None:
                return resume
            pass_over(step, fault)
        return None

    def answer(self, now: record.Record, step: int) -> None:
        """Say what this node finds of its part of the step that node 0 asks about."""
        fence = raise_fence(self.output, self.job, now.holder)
        self.look.tell(self.ledger.bucket, fence, step, now.steps[str(step)])

    @override
    def publish_start(self, start: Start) -> None:
        start.publish()
        self.ledger.append(record.by(start.fence, "ready", ready=start.record))

    @override
    def publish_failure(self, message: str) -> None:
        now = self.ledger.newest
        if now.attempt == self.job.attempt:
            fence = Fence(self.output, self.job.job.uid, now.attempt, now.holder)
            self.ledger.append(record.by(fence, "failed", ready=failure(self.job, message)))

    def follow(self, now: record.Record, ready: StartRecord) -> Start:
        """Get what this node needs of what node 0 published into its folder.

        Raises:
            NodeZeroFailed: node 0 gave up.
        """
        if ready.error is not None:
            raise NodeZeroFailed(ready.error)
        fence = raise_fence(self.output, self.job, now.holder)
        self.fetch_data(fence)
        start = Start.of(fence, ready)
        if start.resume:
            prefix = now.steps[str(start.done)]
            if fault := self.look.fault(self.ledger.bucket, fence, start.done, prefix):
                raise OSError(f"step {start.done}, which node 0 goes on from, cannot be read here: {fault}")
        start.publish()
        return start

    @override
    def publish_up(self, node_rank: int, beat: int) -> None:
        up = self.output.up(self.job.attempt, node_rank, self.job.job.uid)
        self.ledger.bucket.write(up, str(beat).encode())

    @override
    def nodes_up(self) -> set[int]:
        names = self.ledger.bucket.sizes(f"logs/attempt-{self.job.attempt}")
        return self.output.nodes_of(names, self.job.job.uid)

    @override
    def committed(self) -> list[int]:
        # As they were last seen where the store does not answer now
        try:
            return self.ledger.read().committed
        except OSError:
            return self.ledger.newest.committed

    @override
    def before_export(self, start: Start) -> None:
        now = self.ledger.read()
        record.check(now, start.fence)
        trained = read_record(start.output.evaluation, EvaluationRecord)
        step = trained.exports if trained else now.committed[0]
        if str(step) not in now.steps:
            raise OSError(f"step {step}, which is to be exported, is not in the store")
        if reason := fetch_step(
            self.ledger.bucket, now.steps[str(step)], start.fence, step, weights_only=True
        ):
            raise OSError(f"step {step}, which is exported, cannot be read: {reason}")

    @override
    def complete(self, start: Start, results: Results) -> None:
        record.check(self.ledger.read(), start.fence)
        folder = start.output.export
        self.ledger.bucket.upload(folder, _files(folder), EXPORT)
        self.ledger.bucket.upload(start.output.root, [start.output.results.name], "")
        self.ledger.append(record.by(start.fence, "complete", results=results))

    @override
    def upload_logs(self) -> None:
        folder = self.output.logs(self.job.attempt)
        try:
            self.ledger.bucket.upload(folder, _files(folder), f"logs/{folder.name}")
        except OSError as error:
            log.get().warning("logs could not be uploaded", error=str(error))


def ledger_of(job: JobFile, output: Output) -> Ledger:
    """The records of the output that a node's private folder stands for."""
    return Ledger(Bucket(uri_of(job, output.root)))


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
