"""The immutable ConfigMap of an attempt: ``job.json`` and the operator's CA."""

from __future__ import annotations

import orjson

from llmtrain_api import (
    InspectFile,
    Job,
    JobFile,
    JobIdentity,
    JobSpec,
    Layout,
    ModelShape,
    OriginFolder,
    Rendezvous,
    ReportTarget,
    Setup,
    SetupStage,
    applied,
    changed,
    choose,
    layout_of,
    shape_of,
)
from llmtrain_api.names import CA_FILE, SCRATCH_MOUNT, TOKEN_FILE

from ..types import Manifest, PlanSettings
from . import names
from .volumes import (
    cache_location,
    dataset_folder,
    model_location,
    origin_location,
    output_location,
    pairs_location,
    penalty_pairs_location,
    reward_model_location,
    set_folders,
    source_folders,
    tasks_location,
)


def job_file(job: Job, spec: JobSpec, attempt: int, settings: PlanSettings) -> JobFile:
    """All that the workers of an attempt are told."""
    meta = job.metadata
    return JobFile(
        job=JobIdentity(name=meta.name, namespace=meta.namespace, uid=meta.uid),
        attempt=attempt,
        spec=without_receivers(spec_on_record(job, spec)),
        shape=shape_on_record(job, spec),
        model=job.status.resolved.model if job.status.resolved else None,
        layout=layout_on_record(job, spec),
        resolved=changed(job.status.resolved, model=None) if job.status.resolved else None,
        rendezvous=Rendezvous(
            master_address=names.master_address(meta.name, meta.namespace, attempt),
            id=names.rendezvous_id(meta.uid, attempt),
        ),
        output=output_location(spec.output.uri).path,
        dataset=dataset_folder(spec.dataset),
        sources=set_folders(spec.evaluation) | source_folders(spec.dataset),
        origin=origin_folder(job, spec),
        cache=cache_location(spec.dataset).path if spec.dataset.cache else None,
        pairs=pairs_location(spec.evaluation).path or None,
        tasks=tasks_location(spec.evaluation).path or None,
        penalty_pairs=penalty_pairs_location(spec.training).path or None,
        reward_model=reward_model_location(spec.training).path or None,
        base=base_folder(spec),
        scratch=SCRATCH_MOUNT,
        report=(
            ReportTarget(url=settings.report_url, ca_file=CA_FILE, token_file=TOKEN_FILE)
            if settings.report_url
            else None
        ),
        range_test=settings.range_test,
    )


def without_receivers(spec: JobSpec) -> JobSpec:
    """The spec without who is told of the job: pods have no use for URLs that may be credentials."""
    return spec.model_copy(update={"notify": []}) if spec.notify else spec


def origin_folder(job: Job, spec: JobSpec) -> OriginFolder | None:
    """What the job begins with a step of, as a pod sees it; None where it begins anew."""
    origin = job.status.origin
    if origin is None or spec.checkpoint.source is None:
        return None
    return OriginFolder(**dict(origin), folder=origin_location(origin.uri, spec.output.uri).path)


def inspect_file(job: Job, spec: JobSpec) -> InspectFile:
    """All that the pod is told that looks at the model."""
    meta = job.metadata
    identity = JobIdentity(name=meta.name, namespace=meta.namespace, uid=meta.uid)
    return InspectFile(
        job=identity, spec=without_receivers(spec), base=base_folder(spec), scratch=SCRATCH_MOUNT
    )


def base_folder(spec: JobSpec) -> str | None:
    """The folder of the model, as a pod sees it; None where there is none before it is fetched or built."""
    found = model_location(spec.model)
    return found.path if found else None


def layout_on_record(job: Job, spec: JobSpec) -> Layout:
    """The layout that was decided before the first attempt: another version of this operator, which would
    decide otherwise, does not change a job that has started."""
    if spec.entrypoint is not None:
        return Layout(data=gang_on_record(job, spec).world_size, zero=0, why="a program of one's own")
    resolved = job.status.resolved
    if resolved is not None and resolved.parallelism is not None:
        return resolved.parallelism
    # put on record by a version that did not write it down
    return layout_of(shape_on_record(job, spec), gang_on_record(job, spec))


def gang_on_record(job: Job, spec: JobSpec) -> JobSpec:
    """The spec with the number of nodes that the current gang has: as if the job asked for just so many."""
    workers = job.status.workers
    if spec.min_nodes is None or job.status.attempt is None or workers is None:
        return spec
    return spec.with_nodes(workers.desired)


def spec_on_record(job: Job, spec: JobSpec) -> JobSpec:
    """The spec as ranks are told it: what it leaves open is as it was decided before the first attempt, or
    with the number of its nodes."""
    spec, resolved = gang_on_record(job, spec), job.status.resolved
    if spec.entrypoint is not None:
        return spec
    if resolved is None or resolved.activation_checkpointing is None:
        # put on record by a version that left nothing open, or not yet
        return applied(choose(shape_on_record(job, spec), spec), spec)
    written = spec.training.model_fields_set
    left_open: dict[str, object] = {}
    if "micro_batch_size" not in written:
        left_open["micro_batch_size"] = resolved.micro_batch
    if not spec.training.says_recompute:
        left_open["activation_checkpointing"] = resolved.activation_checkpointing
        left_open["activation_checkpointing_mode"] = resolved.activation_checkpointing_mode
    if "chunked_logits" not in written and resolved.chunked_logits is not None:
        left_open["chunked_logits"] = resolved.chunked_logits
    return spec.model_copy(update={"training": spec.training.model_copy(update=left_open)})


def shape_on_record(job: Job, spec: JobSpec) -> ModelShape:
    """The shape of a job's model: what its inspection found, or what the spec says of a built-in one."""
    resolved = job.status.resolved
    found = resolved.model if resolved is not None else None
    return found.shape if found is not None else shape_of(spec)


def config_map(job: Job, spec: JobSpec, attempt: int, settings: PlanSettings) -> Manifest:
    """Immutable: a running attempt can never be told something else."""
    name = names.config_name(job.metadata.name, attempt)
    document = job_file(job, spec, attempt, settings).to_json()
    return _immutable(names.metadata(job, name, names.attempt_labels(job, attempt)), document, settings)


def setup_config_map(job: Job, spec: JobSpec, setup: Setup, settings: PlanSettings) -> Manifest:
    """What a pod that runs before the gang is told: it works for attempt 0."""
    name = names.setup_name(job.metadata.name, setup.stage, setup.number)
    inspects = setup.stage is SetupStage.INSPECT
    told = inspect_file(job, spec) if inspects else job_file(job, spec, 0, settings)
    metadata = names.metadata(job, name, names.setup_labels(job, setup.stage))
    return _immutable(metadata, told.to_json(), settings)


def _immutable(metadata: Manifest, document: Manifest, settings: PlanSettings) -> Manifest:
    data = {
        "job.json": orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode(),
        "ca.crt": settings.ca_certificate,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": data,
    }
