"""`Backend` of this machine: jobs that ``llmtrain run`` runs as processes, by what it keeps of them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

from llmtrain_api import Job
from llmtrain_api.names import ANNOTATION_RERUN, API_VERSION, KIND
from llmtrain_operator.local.saved_jobs import FOLDER, JobFolder, SavedJob, owned
from llmtrain_operator.local.saved_sweeps import load_sweep

from . import runs
from .errors import AlreadyThere, Failed, Mistake, NotFound, TimedOut, Unsupported, did_you_mean
from .pod_logs import rank_of
from .values import Event, LogLine, LogRequest, Object

START_SECONDS, STOP_SECONDS = 120.0, 120.0
POLL_SECONDS = 0.1
FINAL = ("Succeeded", "Failed")
NOT_RUNNING = "NotRunning"


class LocalBackend:
    """Jobs of this machine.

    Args:
        folder: of claims: what ``--runs`` of ``llmtrain run`` says.
        namespace: that is meant where none is given.
    """

    def __init__(self, folder: Path, namespace: str | None = None) -> None:
        self._runs = folder.absolute()
        self._namespace = namespace or "default"
        self._started: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def namespace(self) -> str:
        """The namespace that is meant where none is given."""
        return self._namespace

    def create(self, document: Object, *, dry_run: bool = False) -> Object:
        """Run a job by a process of its own, which outlives this one."""
        meta = document["metadata"]
        folder = self._folder(meta.get("namespace", self._namespace), meta["name"])
        if folder.load() is not None:
            raise AlreadyThere(
                f"{self._runs} has a job {meta['name']} already: resume it, delete it, or use another name"
            )
        if not dry_run:
            _manifest(folder).parent.mkdir(parents=True, exist_ok=True)
            _manifest(folder).write_text(json.dumps(document, indent=1))
            try:
                self._start(folder)
            except (Mistake, Failed):
                _forget(folder)
                raise
        found = folder.load()
        return document if found is None else found.raw

    def create_sweep(self, document: Object, *, dry_run: bool = False) -> Object:
        """Nobody watches over sweeps here.

        Raises:
            Unsupported: always, with what runs one.
        """
        del document, dry_run
        raise Unsupported("a sweep is run on this machine by `llmtrain run FILE`, which waits for its end")

    def sweep(self, namespace: str, name: str) -> Object:
        """Read one sweep, as `llmtrain run` has left it.

        Raises:
            NotFound: none of that name was run here.
        """
        found = load_sweep(self._runs, namespace, name)
        if found is None:
            raise NotFound(f"no sweep {name} was run in {self._runs}")
        return found

    def get(self, namespace: str, name: str) -> Object:
        """Read one job. One that nobody runs, and that is not over, is told as `Suspended`."""
        folder = self._folder(namespace, name)
        return _as_it_stands(self._saved(folder, namespace, name).raw, _runner(folder))

    def jobs(self, namespace: str | None) -> list[Object]:
        """All jobs that something is kept of."""
        found = []
        for file in sorted((self._runs / FOLDER).glob("*.json")):
            with suppress(OSError, ValueError, KeyError):
                meta = json.loads(file.read_text())["object"]["metadata"]
                if namespace in (None, meta["namespace"]):
                    found.append(self.get(meta["namespace"], meta["name"]))
        return found

    def patch(self, namespace: str, name: str, patch: Object) -> Object:
        """Suspend, resume or retry: a signal to the process that runs it, or another process."""
        folder = self._folder(namespace, name)
        self._saved(folder, namespace, name)
        runner = _runner(folder)
        if patch == {"spec": {"suspend": True}}:
            if runner is not None:
                os.kill(runner, signal.SIGINT)
        elif patch == {"spec": {"suspend": False}} or _asks_for_rerun(patch):
            if runner is None:
                self._start(folder)
        else:
            raise Unsupported("a job of this machine can be suspended, resumed and retried, and no more")
        return self.get(namespace, name)

    def delete(self, namespace: str, name: str) -> None:
        """End it at once, and forget it. Its output stays."""
        folder = self._folder(namespace, name)
        self._saved(folder, namespace, name)
        deadline = time.monotonic() + STOP_SECONDS
        asked = 0
        while (runner := _runner(folder)) is not None:
            if asked < 2:
                # the second does not wait for a checkpoint
                os.kill(runner, signal.SIGTERM)
                asked += 1
            if time.monotonic() > deadline:
                raise TimedOut(f"process {runner}, which runs {name}, does not end; end it and delete again")
            time.sleep(POLL_SECONDS)
            self._reap()
        ending = self._started.pop(_holder(folder) or 0, None)
        if ending is not None:
            # it has let go of the job, and is about to end
            ending.wait(STOP_SECONDS)
        _forget(folder)

    def watch(self, namespace: str, name: str, seconds: float) -> Iterator[Object]:
        """The object now and after each change."""
        deadline, last = time.monotonic() + seconds, None
        while True:
            found = self.get(namespace, name)
            if found != last:
                yield found
            last = found
            if time.monotonic() >= deadline:
                return
            time.sleep(POLL_SECONDS)
            self._reap()

    def events(self, job: Job) -> list[Event]:
        """What the record knows of it."""
        return runs.recorded(job)

    def logs(self, job: Job, request: LogRequest) -> Iterator[LogLine]:
        """Lines of a pod's log, which stays when the pod is gone."""
        namespace, name = job.metadata.namespace, job.metadata.name
        folder, told = self._folder(namespace, name), set[Path]()
        while True:
            runner = _runner(folder)
            job = Job.model_validate(self.get(namespace, name))
            file = _log_of(folder, job, request)
            if file not in told:
                told.add(file)
                if not request.follow:
                    yield from runs.lines_of(file, request.tail)
                    return
                yield from runs.followed(file, lambda now=file: self._writes(folder, now, request))  # type: ignore[misc]
            if runner is None or request.attempt is not None:
                return
            time.sleep(POLL_SECONDS)
            self._reap()

    def _writes(self, folder: JobFolder, file: Path, request: LogRequest) -> bool:
        """Whether a log may still grow: its job runs, and is not at another pod already."""
        self._reap()
        saved = folder.load()
        return (
            _runner(folder) is not None and saved is not None and _log_of(folder, saved.job, request) == file
        )

    def metrics(self, job: Job) -> list[Object]:
        """Rows of ``metrics.jsonl`` of all attempts."""
        folder = self._folder(job.metadata.namespace, job.metadata.name)
        saved = self._saved(folder, job.metadata.namespace, job.metadata.name)
        root = owned(Path(saved.output), job.metadata.uid)
        return [] if root is None else runs.metrics_of(root)

    def curve_bytes(self, job: Job) -> int:
        """How long the files of `metrics` are: they have grown where it differs from before."""
        folder = self._folder(job.metadata.namespace, job.metadata.name).load()
        root = None if folder is None else owned(Path(folder.output), job.metadata.uid)
        return 0 if root is None else runs.curve_bytes(root)

    def lacking(self, job: Job) -> list[str]:  # noqa: ARG002
        """Nothing: claims are folders, and there are no quotas."""
        return []

    def presets(self, namespace: str) -> list[Object]:  # noqa: ARG002
        """There are none here."""
        return []

    def _folder(self, namespace: str, name: str) -> JobFolder:
        try:
            return JobFolder(self._runs, namespace, name)
        except ValueError as error:
            raise NotFound(str(error)) from None

    def _saved(self, folder: JobFolder, namespace: str, name: str) -> SavedJob:
        found = folder.load()
        if found is None:
            names = [job["metadata"]["name"] for job in self.jobs(namespace)]
            raise NotFound(f"{self._runs} has no job {name}{did_you_mean(name, names)}")
        return found

    def _start(self, folder: JobFolder) -> None:
        """A process that runs the job, until it is its runner.

        Raises:
            Mistake: it refused the job.
            Failed: it ended otherwise.
        """
        out, manifest = _beside(folder, ".out"), _manifest(folder)
        saved = folder.load()
        if saved is not None and not manifest.exists():
            # a person typed `llmtrain run`: what it made of their file goes on
            meta = {key: saved.raw["metadata"][key] for key in ("name", "namespace")}
            whole = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": saved.raw["spec"]}
            manifest.write_text(json.dumps(whole, indent=1))
        command = [sys.executable, "-W", "ignore", "-m", "llmtrain", "run", str(manifest)]
        command += ["--runs", str(self._runs)]
        if saved is not None:
            command += ["--output", saved.output]
        with out.open("wb") as told:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, start_new_session=True
            )
        self._started[process.pid] = process
        deadline = time.monotonic() + START_SECONDS
        while not (_holder(folder) == process.pid and folder.load() is not None):
            code = process.poll()
            if code is not None:
                lines = out.read_text(errors="replace").strip().splitlines() or [f"it ended with {code}"]
                if code == Mistake.exit_code:
                    raise Mistake(*(line.removeprefix(f"{manifest}: ") for line in lines))
                if folder.load() is None:
                    raise Failed(f"the job did not begin: {lines[-1]}")
                return
            if time.monotonic() > deadline:
                raise TimedOut(f"the job did not begin in {START_SECONDS:.0f} s: see {out}")
            time.sleep(POLL_SECONDS)

    def _reap(self) -> None:
        """A process that has ended is one only when its parent has asked."""
        for pid, process in list(self._started.items()):
            if process.poll() is not None:
                del self._started[pid]


def _beside(folder: JobFolder, suffix: str) -> Path:
    return folder.folder.with_name(folder.folder.name + suffix)


def _forget(folder: JobFolder) -> None:
    """Remove all that is kept of a job, but for its output."""
    shutil.rmtree(folder.folder, ignore_errors=True)
    for suffix in (".json", ".log", ".lock", ".out", ".manifest.yaml"):
        _beside(folder, suffix).unlink(missing_ok=True)


def _manifest(folder: JobFolder) -> Path:
    return _beside(folder, ".manifest.yaml")


def _holder(folder: JobFolder) -> int | None:
    """The process that took the lock last."""
    try:
        return int(_beside(folder, ".lock").read_text())
    except (OSError, ValueError):
        return None


def _runner(folder: JobFolder) -> int | None:
    """The process that runs the job now."""
    pid = _holder(folder)
    if pid is None or not Path(f"/proc/{pid}").exists():
        return None
    with suppress(OSError), _beside(folder, ".lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return pid
    return None


def _asks_for_rerun(patch: Object) -> bool:
    return ANNOTATION_RERUN in patch.get("metadata", {}).get("annotations", {})


def _as_it_stands(raw: Object, runner: int | None) -> Object:
    """The record; of a job that no process runs, and that is not over, as one that stands still."""
    status = raw.get("status", {})
    refused = any(c["type"] == "Accepted" and c["status"] == "False" for c in status.get("conditions", ()))
    if runner is not None or refused or status.get("phase") in FINAL:
        return raw
    found = deepcopy(raw)
    step = status.get("checkpoint", {}).get("step")
    saved = f"step {step} is saved" if step else "nothing was saved yet"
    waiting = {"reason": NOT_RUNNING, "message": f"no process runs it; {saved}"}
    found["status"] = {**status, "phase": "Suspended", "waiting": waiting}
    return found


def _log_of(folder: JobFolder, job: Job, request: LogRequest) -> Path:
    """The file of the pod that is meant.

    Raises:
        NotFound: there is none.
    """
    logs, name = folder.folder / "logs", job.metadata.name
    attempt = job.status.attempt if request.attempt is None else request.attempt
    if attempt is not None:
        file = logs / f"{name}-{attempt}-{rank_of(job, request)}.log"
    else:
        setups = [*logs.glob(f"{name}-inspect-*.log"), *logs.glob(f"{name}-prepare-*.log")]
        file = max(setups, key=lambda path: path.stat().st_mtime, default=logs / f"{name}-0-0.log")
    if not file.exists():
        raise NotFound(f"{name} has no log {file.name}; `llmtrain why {name}` tells where it stands")
    return file
