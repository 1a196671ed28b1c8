"""Whether a checkpoint is whole, as all nodes agree: each looks at what its own ranks read. No torch.

Nothing is downloaded to be verified alone. Node 0 puts on record which step it would go on from. Each node
gets its part of it, holds that against its digests, and says in an object of its own what it found. One that
finds a fault is enough: node 0 passes over the step, and puts the one before it on record. So all nodes go on
from one step, and from none that anybody has not read.

An answer's key names attempt, pod and save: none is ever taken for that of another.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmtrain_api import ApiModel, JobFile

from ...checkpoint.fence import Fence, short
from ...checkpoint.resume import starts_anew
from ...files import discard
from ...records import characters
from ..base import Pause
from . import record
from .bucket import Bucket
from .ledger import Ledger
from .steps import Readers, fetch_step


class Finding(ApiModel):
    """What a node says of its part of a step.

    Attributes:
        fault: what is wrong with it, in words; None = nothing.
    """

    fault: str | None = None


def readers_of(job: JobFile, node_rank: int) -> Readers:
    """The ranks of a node, as readers of a step."""
    return Readers(job.ranks_of(node_rank), job.layout, lambda manifest: starts_anew(job, manifest))


class Look:
    """One node's looks at steps. Its part of each is downloaded once, and only the last one is kept."""

    def __init__(self, job: JobFile, node_rank: int) -> None:
        self.job, self.node_rank = job, node_rank
        self._faults: dict[str, str | None] = {}
        self._told: set[str] = set()

    def fault(self, bucket: Bucket, fence: Fence, step: int, prefix: str) -> str | None:
        """What is wrong with this node's part of a step, in words; None = it lies in the node's folder.

        Raises:
            OSError: the store does not answer.
        """
        if prefix not in self._faults:
            for old in fence.output.committed():
                discard(fence.output.step(old))
            readers = readers_of(self.job, self.node_rank)
            self._faults[prefix] = fetch_step(bucket, prefix, fence, step, readers=readers)
        return self._faults[prefix]

    def tell(self, bucket: Bucket, fence: Fence, step: int, prefix: str) -> None:
        """Look at the step that node 0 asks about, and answer."""
        key = f"{_answers(fence, prefix)}/{self.node_rank}"
        if key not in self._told:
            fault = self.fault(bucket, fence, step, prefix)
            said = Finding(fault=None if fault is None else characters(fault))
            bucket.write(key, said.model_dump_json(by_alias=True).encode())
            self._told.add(key)


def fault_of_any(ledger: Ledger, fence: Fence, step: int, look: Look, pause: Pause) -> str | None:
    """Node 0: what the first node that finds a fault says of a step; None = all have their part of it.

    Raises:
        Fenced: a newer attempt owns the output.
        OSError: the store does not answer.
    """
    others = range(1, look.job.spec.nodes)
    prefix = ledger.newest.steps[str(step)]
    if found := ledger.newest.torn.get(prefix):
        return found
    if others:
        ledger.append(record.by(fence, f"is step {step} whole?", candidate=step))
    fault, heard = look.fault(ledger.bucket, fence, step, prefix), set[int]()
    while fault is None:
        for node, said in _heard(ledger.bucket, _answers(fence, prefix), heard):
            heard.add(node)
            fault = fault or (f"node {node}: {said}" if said else None)
        absent = [node for node in others if node not in heard]
        if not absent or fault:
            return fault
        record.check(ledger.read(), fence)
        pause(absent)
    return fault


def _heard(bucket: Bucket, prefix: str, before: set[int]) -> Iterator[tuple[int, str | None]]:
    """New answers, node by node."""
    nodes = {int(name) for name in bucket.sizes(prefix) if name.isdigit()}
    for node in sorted(nodes - before):
        yield node, Finding.model_validate_json(bucket.read(f"{prefix}/{node}")).fault


def _answers(fence: Fence, prefix: str) -> str:
    """Where the nodes of an attempt say what they found of a save. Kept, as logs are."""
    who = f"{short(fence.job_uid)}-{short(fence.holder)}"
    return f"logs/attempt-{fence.attempt}/found-{who}/{prefix.rpartition('/')[2]}"
