"""A file with a job of Kubeflow, read into an LLMTrainingJob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from llmtrain.errors import Mistake
from llmtrain.values import Object
from llmtrain_api import InvalidJob, parse_manifest
from llmtrain_api.names import API_VERSION, KIND, OUTPUT_MOUNT

from .fields import Fields
from .pod import FOREIGN_LABELS, Worker
from .pytorchjob import pytorch_job
from .trainjob import RUNTIMES, train_job

QUEUE = "kueue.x-k8s.io/queue-name"
PYTORCH_JOB, TRAIN_JOB = "PyTorchJob", "TrainJob"
IMAGE = "the image needs python3, pydantic, structlog and the launcher: docs/own-programs.md#the-image"


@dataclass(frozen=True)
class Imported:
    """A job of ours.

    Attributes:
        manifest: of it.
        notes: what differs from what it was, a sentence each.
        mistakes: why the manifest would be refused as it is; a sentence each.
    """

    manifest: Object
    notes: tuple[str, ...]
    mistakes: tuple[str, ...]


def imported(documents: Sequence[Any], output: str | None = None) -> Imported:
    """The LLMTrainingJob that runs what a job of Kubeflow runs.

    Args:
        documents: of the file: one PyTorchJob, or one TrainJob with its runtime beside it.
        output: URI of the output; None: a folder on the first claim that the job mounts.

    Raises:
        Mistake: there is no such job, or what it runs cannot be told.
    """
    found = [deepcopy(dict(one)) for one in documents if isinstance(one, Mapping)]
    jobs = [one for one in found if one.get("kind") in (PYTORCH_JOB, TRAIN_JOB)]
    if len(jobs) != 1:
        kinds = ", ".join(str(one.get("kind")) for one in found) or "nothing"
        raise Mistake(f"it has {kinds}; it must have one PyTorchJob, or one TrainJob and its runtime")
    job = Fields(jobs[0], "")
    metadata, spec = job.inner("metadata"), job.inner("spec")
    name = str(metadata.take("name", ""))
    if jobs[0]["kind"] == PYTORCH_JOB:
        own, worker = pytorch_job(spec)
    else:
        own, worker = train_job(spec, [one for one in found if one.get("kind") in RUNTIMES])
    labels = metadata.take("labels") or {}
    if QUEUE in labels:
        own["queueName"] = labels.pop(QUEUE)
        if own.pop("minNodes", None) is not None:
            spec.note("spec.elasticPolicy.minReplicas: Kueue lets in whole gangs; all nodes are asked for")
    own["output"] = {"uri": output or _output(worker, name, job)}
    meta: Object = {"name": name}
    for field, value in (("namespace", metadata.take("namespace")), ("labels", _own(labels))):
        if value:
            meta[field] = value
    metadata.ignore(
        "annotations", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"
    )
    job.ignore("apiVersion", "kind", "status")
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": _ordered(own)}
    return Imported(manifest, (*job.notes(), IMAGE), _mistakes(manifest))


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if not key.startswith(FOREIGN_LABELS)}


def _output(worker: Worker, name: str, job: Fields) -> str:
    claim = worker.claims[0] if worker.claims else "checkpoints"
    there = (
        "which the job mounts already" if worker.claims else "which must be there (--output names another)"
    )
    job.note(
        f"output.uri: logs, and what the program writes to $LLMTRAIN_OUTPUT, go to claim {claim}, {there}; "
        f"it is mounted at {OUTPUT_MOUNT}"
    )
    return f"pvc://{claim}/{name}"


FIRST = ("image", "entrypoint", "nodes", "minNodes", "gpusPerNode", "processesPerNode", "resources")


def _ordered(spec: Object) -> Object:
    """As a person would write it: what runs comes first, and what says nothing is left out."""
    kept = {key: value for key, value in spec.items() if value not in (None, {}, [])}
    return {**{key: kept[key] for key in FIRST if key in kept}, **kept}


def _mistakes(manifest: Object) -> tuple[str, ...]:
    try:
        parse_manifest(manifest)
    except InvalidJob as invalid:
        return tuple(invalid.mistakes)
    return ()
