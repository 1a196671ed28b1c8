"""An output in a folder that all nodes share, so most of it is there already."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from llmtrain_api import JobFile, Results

from ..checkpoint.fence import Fence, raise_fence
from ..checkpoint.ownership import candidates, claim, owned
from ..checkpoint.resume import Resume, choose
from ..files import write_json
from ..output import Output
from ..records import CompleteRecord, record_or_none
from .base import ClaimedOutput, Joined, OutputStore, PassOver, Pause
from .start_marker import Start, publish_failure, read_start


class FolderOutputStore(OutputStore):
    """The folder that the job names, or the one beside it."""

    poll = 0.2

    def __init__(self, job: JobFile) -> None:
        self.job = job

    @override
    def claim(self) -> ClaimedOutput:
        return ClaimedFolder(self.job, claim(self.job))

    @override
    def read_start(self, node_rank: int) -> Joined | None:
        del node_rank  # all nodes see one folder
        start = read_start(self.job)
        return Joined(ClaimedFolder(self.job, start.output), start) if start else None

    @override
    def heartbeat(self) -> str | None:
        output = owned(self.job) or candidates(self.job)[0]
        try:
            return (output.root / output.up(self.job.attempt, 0, self.job.job.uid)).read_text()
        except OSError:
            return None


class ClaimedFolder(ClaimedOutput):
    """The folder whose OWNER names this job."""

    def __init__(self, job: JobFile, output: Output) -> None:
        self.job, self.output = job, output

    @override
    def finished(self) -> Results | None:
        done = record_or_none(self.output.complete, CompleteRecord)
        return done.results if done and done.job_uid == self.job.job.uid else None

    @override
    def raise_fence(self) -> Fence:
        return raise_fence(self.output, self.job)

    @override
    def fetch_data(self, fence: Fence) -> None:
        pass

    @override
    def upload_data(self, fence: Fence) -> None:
        pass

    @override
    def choose(
        self, fence: Fence, fingerprints: dict[str, Any], pass_over: PassOver, pause: Pause
    ) -> Resume | None:
        del pause  # one folder is looked at by one node
        return choose(fence.output, self.job, fingerprints, pass_over)

    @override
    def publish_start(self, start: Start) -> None:
        start.publish()

    @override
    def publish_failure(self, message: str) -> None:
        publish_failure(self.output, self.job, message)

    @override
    def publish_up(self, node_rank: int, beat: int) -> None:
        path = self.output.root / self.output.up(self.job.attempt, node_rank, self.job.job.uid)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, beat)

    @override
    def nodes_up(self) -> set[int]:
        try:
            names = [path.name for path in self.output.logs(self.job.attempt).iterdir()]
        except FileNotFoundError:
            return set()
        return self.output.nodes_of(names, self.job.job.uid)

    @override
    def committed(self) -> list[int]:
        return self.output.committed()

    @override
    def before_export(self, start: Start) -> None:
        pass

    @override
    def complete(self, start: Start, results: Results) -> None:
        start.fence.check()
        done = CompleteRecord(**dict(start.fence.record), results=results)
        write_json(start.output.complete, done.to_json())

    @override
    def upload_logs(self) -> None:
        pass
