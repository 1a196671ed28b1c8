"""Which folder belongs to a job, and what happens when another job was there first."""

from __future__ import annotations

import os
from pathlib import Path

from llmtrain_api import IfExists, JobFile, changed

from ..errors import ConfigError, Fenced, OutputTaken
from ..files import fsync_folder, write_json
from ..output import Output
from ..records import MAX_PREVIOUS, OwnerRecord, record_or_none


def candidates(job: JobFile) -> tuple[Output, Output]:
    """The folder that the job names, and the one beside it for ``ifExists: new``.

    The name depends on the UID only, so that every restart and every rank finds the same one.
    """
    base = Path(job.output)
    return Output(base), Output(beside(base, job.spec.output.uri, job.job.uid))


def beside(base: Path, uri: str, uid: str) -> Path:
    """The folder of ``ifExists: new``, of any job."""
    if _is_whole_claim(uri):
        return base / f"run-{uid[:8]}"  # beside it would be outside the volume
    return base.with_name(f"{base.name}-{uid[:8]}")


def _is_whole_claim(uri: str) -> bool:
    return uri.startswith("pvc://") and "/" not in uri.removeprefix("pvc://").rstrip("/")


def uri_of(job: JobFile, root: Path) -> str:
    """The URI of the folder that was really used."""
    asked, base = job.spec.output.uri.rstrip("/"), Path(job.output)
    if root.parent == base:
        return f"{asked}/{root.name}"
    return asked + root.name.removeprefix(base.name)


def owned(job: JobFile) -> Output | None:
    """The folder whose OWNER names this job."""
    for output in candidates(job):
        if _owner(output).job_uid == job.job.uid:
            return output
    return None


def claim(job: JobFile) -> Output:
    """Make a folder this job's own. Node 0 only.

    Raises:
        ConfigError: the folder is another job's and ``output.ifExists`` is ``fail``.
        OutputTaken: another job has taken this job's folder over.
    """
    own = owned(job)
    if own:
        return own
    base, beside = candidates(job)
    owner = _first(base, job)
    if owner is None:
        return base
    if may_take(owner, job) is IfExists.RESUME:
        _take_over(base, owner, job)
        return base
    _first(beside, job)
    return beside


def claim_private(output: Output, job: JobFile) -> None:
    """Make a folder that only this node has the job's own: who may write is decided elsewhere."""
    owner = _first(output, job)
    if owner and owner.job_uid not in ("", job.job.uid):
        raise Fenced(f"{output.root} is another job's")


def may_take(owner: OwnerRecord, job: JobFile) -> IfExists:
    """What a job may do with an output that another job owns: resume from it, or use one beside it.

    Raises:
        ConfigError: ``output.ifExists`` is ``fail``.
        OutputTaken: the owner took this job's output over.
    """
    uri, wanted = job.spec.output.uri, job.spec.output.if_exists
    if job.job.uid in owner.previous:
        raise OutputTaken(f"{uri} was taken over by {_name(owner)}")
    if wanted is IfExists.FAIL:
        raise ConfigError(
            f"output {uri} belongs to {_name(owner)}",
            "set output.ifExists to resume (go on from its checkpoints) or new (a folder beside it), "
            "or choose another output.uri",
        )
    return wanted


def taken_over(owner: OwnerRecord, job: JobFile) -> OwnerRecord:
    """OWNER after ``ifExists: resume``. The old job is remembered: a late restart of it cannot take back."""
    previous = (*owner.previous, owner.job_uid) if owner.job_uid else owner.previous
    return changed(identity(job), previous=previous[-MAX_PREVIOUS:])


def identity(job: JobFile) -> OwnerRecord:
    """OWNER of a job's own output."""
    return OwnerRecord(job_uid=job.job.uid, name=job.job.name, namespace=job.job.namespace)


def _name(owner: OwnerRecord) -> str:
    if not owner.job_uid:
        return "a job that its file OWNER does not name"
    return f"job {owner.namespace}/{owner.name} (uid {owner.job_uid})"


def _owner(output: Output) -> OwnerRecord:
    return record_or_none(output.owner, OwnerRecord) or OwnerRecord()


def _first(output: Output, job: JobFile) -> OwnerRecord | None:
    """Claim a folder that has no owner; the present owner when it has one."""
    output.root.mkdir(parents=True, exist_ok=True)
    temporary = output.root / f".OWNER.{job.job.uid}.{os.getpid()}.tmp"
    write_json(temporary, identity(job).to_json())
    try:
        # a link never replaces: of two jobs that arrive together exactly one wins
        os.link(temporary, output.owner)
    except FileExistsError:
        return _owner(output)
    finally:
        temporary.unlink()
    fsync_folder(output.root)
    return None


def _take_over(output: Output, owner: OwnerRecord, job: JobFile) -> None:
    write_json(output.owner, taken_over(owner, job).to_json())
    for finished in (output.complete, output.results, output.evaluation):
        finished.unlink(missing_ok=True)
