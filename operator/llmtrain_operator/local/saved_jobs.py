"""A job between two runs of this program: its object in a file, and who may run it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmtrain_api import EDITABLE, Job, JobSpec, JobStatus, Phase, Resolved, Restarts, changed, parse_spec
from llmtrain_api.names import OUTPUT_MOUNT, PLURAL

from ..kube.api import Object
from ..manifests.config import shape_on_record
from ..manifests.volumes import output_location
from ..plan.resolved import resolve
from .memory_api import MemoryApi

FOLDER = ".llmtrain"
IMAGE = "local"


class Busy(Exception):
    """Another process runs this job."""


def key_of(namespace: str, name: str) -> str:
    """What the files of an object are called."""
    return name if namespace == "default" else f"{namespace}.{name}"


def replace_json(file: Path, found: Object) -> None:
    """Put a file in the place of an earlier one, whole and on the disk, or leave that."""
    temporary = file.with_suffix(".tmp")
    with temporary.open("w") as out:
        json.dump(found, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)


class JobFolder:
    """The files of one job below the runs folder.

    Attributes:
        folder: its logs and, while it runs, its pods' private folders.
        log: what this program does, as JSON lines.
    """

    def __init__(self, runs: Path, namespace: str, name: str) -> None:
        key = key_of(namespace, name)
        if Path(key).name != key or key in ("", ".", ".."):
            # the folder is deleted before a new run: it must be one of this program's own
            raise ValueError(f"job {name!r} in namespace {namespace!r} would not lie in {runs / FOLDER}")
        self.folder = runs / FOLDER / key
        self.log = runs / FOLDER / f"{key}.log"
        self._file = runs / FOLDER / f"{key}.json"
        self._lock = runs / FOLDER / f"{key}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that runs this job. A process that dies holds nothing.

        Raises:
            Busy: somebody else runs it.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise Busy(file.read().strip()) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def load(self) -> SavedJob | None:
        """What was saved; None when there is nothing that can be read."""
        try:
            raw = json.loads(self._file.read_text())
            return SavedJob(raw["object"], Job.model_validate(raw["object"]), raw["output"])
        except (OSError, ValueError, KeyError):
            return None

    def save(self, found: Object, output: str) -> None:
        """JobFolder the object as it is now."""
        replace_json(self._file, {"output": output, "object": found})


@dataclass(frozen=True)
class SavedJob:
    """A job of an earlier run of this program.

    Attributes:
        raw: the object.
        job: the same, understood.
        output: the folder that it was told to write to.
    """

    raw: Object
    job: Job
    output: str


class SavedApi(MemoryApi):
    """The API in memory, with the job's object on disk before anything is done that follows from it."""

    def __init__(self, folder: JobFolder, output: str) -> None:
        super().__init__()
        self._folder = folder
        self._output = output

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create one object."""
        return self._saved(resource, await super().create(resource, namespace, body))

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        """Merge patch of a status."""
        return self._saved(resource, await super().patch_status(resource, namespace, name, patch))

    def restore(self, body: Object) -> None:
        """The job as it was saved: with its UID and status."""
        self._put(PLURAL, "ADDED", body)

    def _saved(self, resource: str, found: Object) -> Object:
        if resource == PLURAL:
            self._folder.save(found, self._output)
        return found


def output_folder(uri: str, runs: Path) -> Path:
    """Where an output lies here: ``pvc://CLAIM/FOLDER`` is ``runs/CLAIM/FOLDER``."""
    found = output_location(uri)
    if found.claim is None:
        return Path(found.path)
    return runs / found.claim / found.path.removeprefix(OUTPUT_MOUNT).lstrip("/")


def saved_by_name(runs: Path) -> Callable[[str, str], Job | None]:
    """The jobs that were run here, with the output that each really wrote to."""

    def find(namespace: str, name: str) -> Job | None:
        try:
            saved = JobFolder(runs, namespace, name).load()
        except ValueError:
            return None
        if saved is None:
            return None
        asked = str(saved.job.spec.get("output", {}).get("uri", ""))
        if str(output_folder(asked, runs).absolute()) == saved.output:
            return saved.job
        # --output named another folder
        status = changed(saved.job.status, results=None)
        spec = saved.job.spec | {"output": {"uri": f"file://{saved.output}"}}
        return changed(saved.job, spec=spec, status=status)

    return find


def owned(output: Path, uid: str) -> Path | None:
    """The folder that a job really writes to: its output, or with ``ifExists: new`` one beside or in it."""
    for root in (output, output.with_name(f"{output.name}-{uid[:8]}"), output / f"run-{uid[:8]}"):
        try:
            if json.loads((root / "OWNER").read_text()).get("jobUid") == uid:
                return root
        except (OSError, ValueError):
            continue
    return None


def changes(old: Object, new: Object) -> list[str]:
    """Fields of two specs that differ, with the earlier value; those that may be edited at any time do not
    count."""
    before, after = (_flat(_trained(spec), "spec") for spec in (old, new))
    return [
        f"{path} was {before.get(path, 'not set')}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _trained(spec: Object) -> Object:
    """What must stay as it is once an attempt has started."""
    found = parse_spec(spec, strict=False).to_json()
    return {name: value for name, value in found.items() if name not in EDITABLE}


def _flat(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        return {path: value}
    return {p: v for key, inner in value.items() for p, v in _flat(inner, f"{path}.{key}").items()}


def rejoined(raw: Object, spec: Object) -> Object:
    """A job that was stopped, with its manifest as it is now. Before the first attempt, the pod of then went
    with all that ran it: that is nobody's failure, so it is created once more."""
    status = dict(raw.get("status", {}))
    if status.get("attempt") is None and "setup" in status:
        kept = {name: value for name, value in status["setup"].items() if name != "createdAt"}
        status |= {"setup": kept}
    meta = dict(raw["metadata"])
    if spec != raw["spec"]:
        meta["generation"] = meta.get("generation", 1) + 1
    return {**raw, "metadata": meta, "spec": spec, "status": status}


def can_reopen(saved: SavedJob, spec: JobSpec) -> bool:
    """Whether a failed job may go on with that spec: another model than the one inspected is another job."""
    if saved.job.status.attempt is None or spec.model.builtin is not None:
        return True
    resolved, before = saved.job.status.resolved, parse_spec(saved.raw["spec"], strict=False)
    inspected = resolved is not None and resolved.model is not None
    return inspected and before.model.identity() == spec.model.identity()


def _resolved(job: Job, spec: JobSpec) -> Resolved:
    """What the spec comes to; of a model that was inspected, with what was found."""
    found = resolve(spec, shape_on_record(job, spec), IMAGE)
    known = job.status.resolved.model if job.status.resolved else None
    return found if spec.model.builtin else changed(found, model=known)


def reopened(saved: SavedJob, spec: Object) -> Object:
    """A failed job, applied once more: its number of attempts goes on, as its output knows it, and all that
    counted against it is forgotten."""
    old, parsed = saved.job.status, parse_spec(spec, strict=False)
    status = JobStatus(
        phase=Phase.STARTING,
        attempt=old.attempt,
        restarts=Restarts(),
        checkpoint=old.checkpoint,
        attempts=old.attempts[-1:],
        resolved=None if old.attempt is None else _resolved(saved.job, parsed),
        origin=old.origin,
        conditions=[c for c in old.conditions if c.type == "Accepted"],
    )
    meta = saved.raw["metadata"] | {"generation": saved.job.metadata.generation + 1}
    return {**saved.raw, "metadata": meta, "spec": spec, "status": status.to_json()}
