"""A job's output in an object store, as its launchers see it. Each node has a private folder for its part."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, Results

from ... import log
from ...checkpoint.fence import Fence, raise_fence
from ...checkpoint.ownership import candidates, claim_private, uri_of
from ...checkpoint.resume import Resume, choose
from ...data.store import MARKER, read_marker
from ...errors import ConfigError
from ...files import differing
from ...output import Output
from ..base import Say
from ..start_marker import NodeZeroFailed, Start
from . import record
from .bucket import Bucket
from .ledger import Ledger
from .steps import FOLDER, bring, left_over

HINT = (
    "create the bucket, or name a Secret in output.secret that holds AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY and, for a store that is not Amazon's, AWS_ENDPOINT_URL"
)
EXPORT = "export"


class ObjectOutputStore:
    """See `home.OutputStore`."""

    poll = 2.0

    def __init__(self, job: JobFile) -> None:
        self.job = job
        self.output: Output | None = None
        self.ledger: Ledger | None = None

    def claim(self) -> Output:
        """See `OutputStore`.

        Raises:
            ConfigError: also when there is no such bucket, or the credentials do not do.
        """
        try:
            output = self._mine() or self._claim()
        except (FileNotFoundError, PermissionError) as error:
            raise ConfigError(f"output.uri: {error.strerror or error}", HINT) from error
        return self._private(output)

    def _mine(self) -> Output | None:
        for output in candidates(self.job):
            self.ledger = ledger_of(self.job, output)
            if self.ledger.read().owner.get("jobUid") == self.job.job.uid:
                return output
        return None

    def _claim(self) -> Output:
        base, beside = candidates(self.job)
        self.ledger = ledger_of(self.job, base)
        try:
            self.ledger.append(record.claim(self.job))
            return base
        except record.Beside:
            self.ledger = ledger_of(self.job, beside)
            self.ledger.append(record.claim(self.job))
            return beside

    def _private(self, output: Output) -> Output:
        claim_private(output, self.job)
        self.output = output
        return output

    @property
    def kept(self) -> Ledger:
        """The records of the output that is claimed."""
        assert self.ledger is not None, "claimed first"
        return self.ledger

    def finished(self) -> Results | None:
        """See `OutputStore`."""
        results = self.kept.read().results
        return Results.model_validate(results) if results else None

    def raise_fence(self) -> Fence:
        """See `OutputStore`."""
        assert self.output is not None, "claimed first"
        fence = raise_fence(self.output, self.job)
        bucket, now = self.kept.bucket, self.kept.append(record.fence(fence))
        for prefix in left_over(bucket.sizes(FOLDER), now, fence):
            bucket.delete(prefix)
        return fence

    def bring_data(self, fence: Fence) -> None:
        """See `OutputStore`."""
        prefix = self.kept.newest.data
        if prefix is None or read_marker(fence.output.data):
            return
        folder = fence.folder / "data"
        log.get().info("downloading prepared data", store=self.kept.bucket.url)
        self.kept.bucket.download(prefix, self.kept.bucket.sizes(prefix), folder)
        marker = read_marker(folder)
        reason = differing(folder, marker.files) if marker else f"no readable {MARKER}"
        if reason:
            log.get().warning("the prepared data in the store are torn", reason=reason)
            shutil.rmtree(folder)
            return
        fence.commit("data", fence.output.data)

    def keep_data(self, fence: Fence) -> None:
        """See `OutputStore`."""
        marker = read_marker(fence.output.data)
        assert marker is not None, "prepared first"
        prefix = f"data/{marker.digest[:16]}"
        if self.kept.newest.data == prefix:
            return
        log.get().info("uploading prepared data", store=self.kept.bucket.url)
        self.kept.bucket.upload(fence.output.data, [*marker.files, MARKER], prefix)
        old = self.kept.newest.data
        self.kept.append(record.by(fence, "data prepared", data=prefix))
        if old:
            self.kept.bucket.delete(old)

    def choose(self, fence: Fence, fingerprints: dict[str, Any], say: Say) -> Resume | None:
        """See `OutputStore`. Downloads the newest step that is whole."""
        for step in self.kept.newest.committed:
            log.get().info("downloading a checkpoint", step=step, store=self.kept.bucket.url)
            reason = bring(self.kept.bucket, self.kept.newest.steps[str(step)], fence, step)
            if reason is None:
                break
            say(step, reason)
        return choose(fence.output, self.job, fingerprints, say)

    def announce(self, start: Start) -> None:
        """See `OutputStore`."""
        start.publish()
        word = {"attempt": self.job.attempt, **start.word()}
        self.kept.append(record.by(start.fence, "ready", ready=word))

    def announce_failure(self, message: str) -> None:
        """See `OutputStore`."""
        now = self.kept.newest
        if now.attempt == self.job.attempt and self.output:
            fence = Fence(self.output, self.job.job.uid, now.attempt, now.holder)
            self.kept.append(record.by(fence, "failed", ready={"attempt": now.attempt, "error": message}))

    def heard(self) -> Start | None:
        """See `OutputStore`."""
        for output in candidates(self.job):
            ledger = ledger_of(self.job, output)
            now = ledger.read()
            mine = now.owner.get("jobUid") == self.job.job.uid
            if mine and (now.ready or {}).get("attempt") == self.job.attempt:
                self.ledger = ledger
                return self._follow(self._private(output), now)
        return None

    def _follow(self, output: Output, now: record.Record) -> Start:
        word = now.ready or {}
        if "error" in word:
            raise NodeZeroFailed(word["error"])
        fence = raise_fence(output, self.job, now.holder)
        self.bring_data(fence)
        start = Start.from_word(fence, word)
        if start.resume:
            reason = bring(self.kept.bucket, now.steps[str(start.done)], fence, start.done)
            if reason:
                raise OSError(f"step {start.done}, which node 0 goes on from, cannot be read here: {reason}")
        start.publish()
        return start

    def committed(self) -> list[int]:
        """See `OutputStore`. As they were last seen where the store does not answer now."""
        if self.ledger is None:
            return []
        try:
            return self.ledger.read().committed
        except OSError:
            return self.ledger.newest.committed

    def before_export(self, start: Start) -> None:
        """See `OutputStore`."""
        now = self.kept.read()
        record.check(now, start.fence)
        step = now.committed[0]
        if reason := bring(self.kept.bucket, now.steps[str(step)], start.fence, step, weights_only=True):
            raise OSError(f"step {step}, the last one, cannot be read: {reason}")

    def complete(self, start: Start, results: Results) -> None:
        """See `OutputStore`."""
        record.check(self.kept.read(), start.fence)
        folder = start.output.export
        self.kept.bucket.upload(folder, _files(folder), EXPORT)
        self.kept.bucket.upload(start.output.root, [start.output.results.name], "")
        self.kept.append(record.by(start.fence, "complete", results=results.to_json()))

    def keep_logs(self) -> None:
        """See `OutputStore`."""
        if self.ledger is None or self.output is None:
            return
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
