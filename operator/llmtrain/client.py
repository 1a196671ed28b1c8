"""`Client`: jobs from Python, with the names that Kubeflow's TrainerClient has for the same things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from llmtrain_api import Job, JobSpec, Phase, explain
from llmtrain_api.names import ANNOTATION_RERUN, API_VERSION, KIND

from . import manifests
from .backend import Backend
from .errors import Failed, Mistake, TimedOut, Unsupported
from .render.curve import Curve, canvas, curve_of
from .values import Event, LogLine, LogRequest, Object

WAIT_SECONDS = 600.0


class Client:
    """Jobs of a cluster, or of this machine.

    Args:
        backend: ``kubernetes``: the cluster of the kubeconfig, or of the pod that this runs in. ``local``:
            processes of this machine, as ``llmtrain run`` runs them.
        namespace: that is meant where none is given; None: the context's, or ``default``.
        context: of the kubeconfig; None: its current one.
        runs: of the local backend: the folder of claims, ``--runs`` of ``llmtrain run``.

    Raises:
        Unreachable: there is no such cluster.
    """

    def __init__(
        self,
        backend: Literal["kubernetes", "local"] | Backend = "kubernetes",
        *,
        namespace: str | None = None,
        context: str | None = None,
        runs: str | Path = "runs",
    ) -> None:
        self._backend: Backend = (
            _backend(backend, namespace, context, Path(runs)) if isinstance(backend, str) else backend
        )

    @property
    def namespace(self) -> str:
        """The namespace that is meant where none is given."""
        return self._backend.namespace

    # -- begin and end ------------------------------------------------------------------------------------

    def train(
        self,
        job: str | Path | Mapping[str, Any] | JobSpec,
        *,
        name: str | None = None,
        namespace: str | None = None,
        settings: Iterable[str] = (),
        dry_run: bool = False,
    ) -> Job:
        """Start a job.

        Args:
            job: a manifest's file, a manifest, or a spec alone, which takes a ``name``.
            name: instead of the manifest's.
            namespace: instead of the manifest's.
            settings: fields of the spec as ``KEY=VALUE``, such as ``training.maxSteps=100``.
            dry_run: only let the API server say what would come of it.

        Raises:
            Mistake: it is refused; nothing was created.
            AlreadyThere: there is a job of that name.
        """
        document = manifests.read(_document(job, name) if isinstance(job, JobSpec) else job)
        document = manifests.with_settings(document, settings)
        meta = document["metadata"]
        meta["name"] = name or meta["name"]
        meta["namespace"] = namespace or meta.get("namespace") or self.namespace
        manifests.checked(document)
        return job_of(self._backend.create(document, dry_run=dry_run))

    def lacking(self, job: Job) -> list[str]:
        """What the namespace has not that a job names, and how much its quotas lack: it would wait for that.

        Args:
            job: as ``train(..., dry_run=True)`` gives it.
        """
        return self._backend.lacking(job)

    def sweep(
        self, sweep: str | Path | Mapping[str, Any], *, namespace: str | None = None, dry_run: bool = False
    ) -> Object:
        """Start an LLMTrainingSweep.

        Args:
            sweep: a manifest's file, or a manifest.
            namespace: instead of the manifest's.
            dry_run: only let the API server say what would come of it.

        Raises:
            Mistake: it is refused; nothing was created.
            AlreadyThere: there is a sweep of that name.
        """
        document = manifests.read_sweep(sweep)
        meta = document["metadata"]
        meta["namespace"] = namespace or meta.get("namespace") or self.namespace
        return self._backend.create_sweep(document, dry_run=dry_run)

    def get_sweep(self, name: str, *, namespace: str | None = None) -> Object:
        """One sweep as plain JSON: its trials, what came of each, and the best, in ``status``.

        Raises:
            NotFound: there is none of that name.
        """
        return self._backend.sweep(namespace or self.namespace, name)

    def clone(
        self,
        name: str,
        new_name: str,
        settings: Iterable[str] = (),
        *,
        namespace: str | None = None,
        from_step: int | str | None = None,
    ) -> Job:
        """Start a job that trains what another trains, with some fields set.

        Args:
            name: of the other job.
            new_name: of the new one.
            settings: fields of the spec as ``KEY=VALUE``.
            namespace: of both.
            from_step: the step of the other job that it goes on from, or ``newest``; None = it begins anew.

        Raises:
            Mistake: it would write to the other one's output, or a setting is wrong.
        """
        raw = self.get_object(name, namespace=namespace)
        document = manifests.copied(raw, new_name, settings, from_step)
        return job_of(self._backend.create(document))

    def delete_job(self, name: str, *, namespace: str | None = None) -> None:
        """Delete a job and its pods. Its output stays."""
        self._backend.delete(namespace or self.namespace, name)

    # -- see ----------------------------------------------------------------------------------------------

    def list_jobs(self, *, namespace: str | None = None, all_namespaces: bool = False) -> list[Job]:
        """The jobs of a namespace, by name."""
        return [job_of(raw) for raw in self.list_objects(namespace, all_namespaces)]

    def list_objects(self, namespace: str | None = None, all_namespaces: bool = False) -> list[Object]:
        """The same as plain JSON."""
        found = self._backend.jobs(None if all_namespaces else namespace or self.namespace)
        return sorted(found, key=lambda raw: (raw["metadata"].get("namespace", ""), raw["metadata"]["name"]))

    def get_job(self, name: str, *, namespace: str | None = None) -> Job:
        """One job: its spec, and in ``status`` all that is known of it.

        Raises:
            NotFound: there is none of that name; the message names those that are like it.
        """
        return job_of(self.get_object(name, namespace=namespace))

    def get_object(self, name: str, *, namespace: str | None = None) -> Object:
        """The same as plain JSON."""
        return self._backend.get(namespace or self.namespace, name)

    def get_job_events(self, name: str, *, namespace: str | None = None) -> list[Event]:
        """What happened to a job and its pods, oldest first."""
        return self._backend.events(self.get_job(name, namespace=namespace))

    def get_job_logs(
        self,
        name: str,
        *,
        namespace: str | None = None,
        rank: int | None = None,
        attempt: int | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> Iterator[LogLine]:
        """Lines of the log of one pod of the gang.

        Args:
            name: of the job.
            namespace: of the job.
            rank: node rank of the pod; None: of a failed job the one that failed first, else 0.
            attempt: None: the current one.
            tail: so many lines from the end.
            follow: go on with what comes, also in attempts that follow, until the job is over.

        Raises:
            NotFound: the pod is gone; the message says where its log lies.
        """
        job = self.get_job(name, namespace=namespace)
        return self._backend.logs(job, LogRequest(rank, attempt, tail, follow))

    def metrics(self, name: str, *, namespace: str | None = None) -> list[Object]:
        """The curve: a row for each step, over all attempts, with loss, learning rate, tokens per second, ...

        Raises:
            Unsupported: the output cannot be read from here; the message says how.
        """
        return self._backend.metrics(self.get_job(name, namespace=namespace))

    def curve(self, name: str, *, namespace: str | None = None) -> Curve:
        """The loss of each step, stitched over attempts, as a picture that a notebook shows.

        Raises:
            Unsupported: the output cannot be read from here; `live` draws what it sees from then on.
        """
        return curve_of(name, self.metrics(name, namespace=namespace))

    def live(self, name: str, *, namespace: str | None = None, seconds: float = WAIT_SECONDS) -> Job:
        """Draw the curve in a notebook, anew with each change, until the job is over or the time has passed.

        Where there is no notebook each change is a printed line. The job as it then is.
        """
        show, drawn = canvas(), Curve(name, ())
        job = self.get_job(name, namespace=namespace)
        for job in self.watch(name, namespace=namespace, seconds=seconds):
            progress = job.status.progress
            try:
                drawn = self.curve(name, namespace=namespace)
            except Unsupported:
                if progress is not None and progress.step is not None and progress.loss is not None:
                    drawn = drawn.with_point(progress.step, progress.loss)
            told = " ".join(filter(None, (job.status.phase, progress.summary if progress else "")))
            show(drawn.titled(f"{name}  {told}"))
        return job

    def watch(
        self, name: str, *, namespace: str | None = None, seconds: float = WAIT_SECONDS
    ) -> Iterator[Job]:
        """The job now and after each change, until it is over or the time has passed."""
        for raw in self._backend.watch(namespace or self.namespace, name, seconds):
            job = job_of(raw)
            yield job
            if over(job):
                return

    def wait_for_job_status(
        self,
        name: str,
        status: Iterable[Phase | str] = (Phase.SUCCEEDED,),
        *,
        namespace: str | None = None,
        timeout: float = WAIT_SECONDS,
        callback: Callable[[Job], object] | None = None,
    ) -> Job:
        """Wait until the job is in one of these phases.

        Args:
            name: of the job.
            status: phases, such as ``Running``.
            namespace: of the job.
            timeout: seconds.
            callback: told of each change.

        Raises:
            Failed: it has ended in another phase, or was refused, so that it will not come to one of these.
            TimedOut: it did not in that time.
        """
        wanted = {Phase(one) for one in status}
        job = None
        for job in self.watch(name, namespace=namespace, seconds=timeout):
            if callback is not None:
                callback(job)
            if job.status.phase in wanted:
                return job
        phase = job.status.phase.value if job is not None and job.status.phase else "Pending"
        if job is not None and over(job):
            raise Failed(f"{name} is {phase}: {_why(job)}")
        raise TimedOut(f"{name} is {phase} after {timeout:.0f} s; `llmtrain why {name}` tells why")

    def list_presets(self, *, namespace: str | None = None) -> list[Object]:
        """The presets that the platform team offers to jobs of a namespace; empty where there are none."""
        return sorted(
            self._backend.presets(namespace or self.namespace), key=lambda raw: str(raw["metadata"]["name"])
        )

    # -- steer --------------------------------------------------------------------------------------------

    def suspend(self, name: str, *, namespace: str | None = None) -> Job:
        """Let it save a checkpoint and give its nodes back; `resume` goes on from there."""
        return self._patch(name, namespace, {"spec": {"suspend": True}})

    def resume(self, name: str, *, namespace: str | None = None) -> Job:
        """Let a job that was suspended go on."""
        return self._patch(name, namespace, {"spec": {"suspend": False}})

    def retry(self, name: str, *, namespace: str | None = None) -> Job:
        """Try a job that is over again, from its newest checkpoint.

        Raises:
            Mistake: it is not over.
        """
        phase = self.get_job(name, namespace=namespace).status.phase
        if phase is None or not phase.final:
            now = phase.value if phase else "Pending"
            raise Mistake(f"{name} is {now}; only a job that is over can be tried again")
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        return self._patch(name, namespace, {"metadata": {"annotations": {ANNOTATION_RERUN: moment}}})

    def hold_failures(self, name: str, seconds: int | None, *, namespace: str | None = None) -> Job:
        """Keep the pods of attempts that fail, of those that begin from now on; None = no longer."""
        return self._patch(name, namespace, {"spec": {"recovery": {"holdSeconds": seconds}}})

    def _patch(self, name: str, namespace: str | None, patch: Object) -> Job:
        return job_of(self._backend.patch(namespace or self.namespace, name, patch))


def job_of(raw: Object) -> Job:
    """The object, understood.

    Raises:
        Failed: it says something that this program does not know.
    """
    try:
        return Job.model_validate(raw)
    except ValidationError as error:
        name = raw.get("metadata", {}).get("name")
        raise Failed(
            f"{name} has a status that this llmtrain cannot read, as of a newer operator; update llmtrain "
            f"({'; '.join(explain(error, ''))})"
        ) from None


def over(job: Job) -> bool:
    """Whether nothing more will come of it: it has ended, or was refused as it is."""
    status = job.status
    return status.refusal is not None or (status.phase is not None and status.phase.final)


def _why(job: Job) -> str:
    refusal, failure = job.status.refusal, job.status.failure
    if refusal is not None:
        return refusal.message
    if failure is not None:
        return f"{failure.failure_class.value}: {failure.message}" + (
            f" ({failure.hint})" if failure.hint else ""
        )
    return "it is over"


def _document(spec: JobSpec, name: str | None) -> Object:
    if name is None:
        raise Mistake("name: is required beside a spec alone")
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec.to_json()}


def _backend(kind: str, namespace: str | None, context: str | None, runs: Path) -> Backend:
    if kind == "kubernetes":
        from .cluster import ApiServer
        from .kubernetes_backend import KubernetesBackend

        return KubernetesBackend(ApiServer(context), namespace)
    if kind == "local":
        from .local_backend import LocalBackend

        return LocalBackend(runs, namespace)
    raise Mistake(f"backend: got {kind!r}; use kubernetes or local")
