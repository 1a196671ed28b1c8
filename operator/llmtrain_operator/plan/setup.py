"""Before the first attempt: pods without GPUs, one after the other, do what GPUs need not wait for."""

from __future__ import annotations

from llmtrain_api import (
    Charge,
    Failure,
    FailureClass,
    JobSpec,
    JobStatus,
    ModelFacts,
    Phase,
    Restarts,
    Setup,
    SetupStage,
    changed,
    shape_of,
)
from llmtrain_api.messages import read_facts
from llmtrain_api.rules import early_mistake, mistake

from ..manifests.config import setup_config_map
from ..manifests.names import setup_name
from ..manifests.network_policy import network_policy
from ..manifests.pod import setup_pod
from ..types import Action, CreateChild, CreatePod, DeleteChild, Plan, Pod, PodPhase
from .attempts import charge_of, with_restart
from .backoff import backoff_seconds
from .begin import is_for_this_spec, nothing_runs, refused
from .clock import seconds_left
from .conditions import with_condition
from .evidence import PARTS, Evidence, of_missing, of_pod
from .progress import progress_due, progress_of, seconds_to_next_progress
from .queue import ACCEPTED
from .refusals import verdict
from .removal import OVERDUE_SECONDS, removals
from .resolved import resolve
from .restart import exhausted, with_hint
from .root_cause import as_failure
from .situation import Situation
from .waiting import seconds_to_word, waiting

OTHER_VERSION = "use the trainer image of the operator's version"
REFUSED = "ModelRefused"
PHASES = {SetupStage.INSPECT: Phase.INSPECTING, SetupStage.PREPARE: Phase.PREPARING}


def stages_of(spec: JobSpec) -> tuple[SetupStage, ...]:
    """What is to be done before the gang is created, in order."""
    inspect = (SetupStage.INSPECT,) if spec.model.builtin is None else ()
    prepare = (SetupStage.PREPARE,) if spec.prepares_first else ()
    return inspect + prepare


def set_up(s: Situation) -> Plan | None:
    """The next step of what comes before the first attempt; None when the gang may begin.

    A pod is on record by its number before it is created, and a number is used once: so what is missing and
    what is left over after a crash can be told apart, as with attempts. Another spec begins anew.
    """
    if s.attempt is not None or s.spec is None:
        return None
    stages, record = stages_of(s.spec), s.status.setup
    if record is None or not is_for_this_spec(s):
        if wrong := early_mistake(s.spec):
            return refused(s, REFUSED, wrong)
        return Plan(_opened(s, s.spec, stages[0], Restarts())) if stages else None
    if record.ended_at is None:
        return _go_on(s, s.spec, record)
    if SetupStage.INSPECT in stages and s.status.resolved is None:
        # an edit has the model looked at again, and so has what another version refused without a look
        known = s.status.condition("Accepted")
        stays = known is not None and (known.status, known.reason) == ("False", REFUSED)
        return nothing_runs(s, s.status) if stays else Plan(_opened(s, s.spec, stages[0], Restarts()))
    after = stages[stages.index(record.stage) + 1 :] if record.stage in stages else ()
    return Plan(_opened(s, s.spec, after[0], Restarts())) if after else None


def _opened(
    s: Situation, spec: JobSpec, stage: SetupStage, restarts: Restarts, failure: Failure | None = None
) -> JobStatus:
    """The next pod on record."""
    old, resolved = s.status.setup, None
    number = old.number + 1 if old else 0
    if stage is not SetupStage.INSPECT:
        decided = s.status.resolved if is_for_this_spec(s) else None
        resolved = decided or resolve(spec, shape_of(spec), s.seen.settings.trainer_image)
    status = changed(
        s.status,
        phase=PHASES[stage],
        setup=Setup(
            stage=stage,
            number=number,
            generation=s.job.metadata.generation,
            started_at=s.now,
            restarts=restarts,
        ),
        resolved=resolved,
        runtime=s.runtime,
        failure=failure,
        waiting=None,
        progress=None,
        observed_generation=s.job.metadata.generation,
    )
    if resolved is None:
        return with_condition(status, "Accepted", None, "Inspecting", "its model is looked at first", s.now)
    return with_condition(status, "Accepted", True, "Accepted", ACCEPTED, s.now)


def _go_on(s: Situation, spec: JobSpec, record: Setup) -> Plan:
    """The pod on record: created, watched, and followed by another if it fails."""
    if s.twins or s.stale:
        actions = () if s.twins else tuple(removals(s, s.stale))
        return Plan(_told(s), actions, requeue_after=OVERDUE_SECONDS)
    pod = s.current.get(0)
    if pod is None and record.created_at is None and 0 not in s.seen.lost:
        return _create(s, spec, record)
    if pod is not None and pod.phase is PodPhase.SUCCEEDED:
        return _done(s, spec, record, pod)
    found = _evidence(s, record, pod)
    if found is not None:
        return _another(s, spec, record, found)
    status = _told(s)
    if record.created_at is None:
        status = changed(status, setup=changed(record, created_at=s.now))
    timers = (seconds_to_next_progress(s), seconds_to_word(status))
    return Plan(status, requeue_after=min((t for t in timers if t is not None), default=None))


def _create(s: Situation, spec: JobSpec, record: Setup) -> Plan:
    refused = verdict(s)
    if refused is not None:
        return _failed(s, record, refused)
    wait = seconds_left(record.started_at, backoff_seconds(record.restarts.total), s.now)
    if wait > 0:
        return Plan(_told(s), requeue_after=wait)
    return Plan(_told(s), tuple(_creations(s, spec, record)))


def _creations(s: Situation, spec: JobSpec, record: Setup) -> list[Action]:
    settings, job = s.seen.settings, s.job
    image = s.status.resolved.image if s.status.resolved else spec.image or settings.trainer_image
    over: list[Action] = []
    if record.restarts.total:
        # its pod is gone; a quota may count ConfigMaps
        name = setup_name(job.metadata.name, record.stage, record.number - 1)
        over.append(DeleteChild("configmaps", name))
    if settings.network_policy:
        over.append(CreateChild("networkpolicies", network_policy(job, spec, settings)))
    return [
        *over,
        CreateChild("configmaps", setup_config_map(job, spec, record, settings)),
        CreatePod(setup_pod(job, spec, record, image, settings)),
    ]


def _evidence(s: Situation, record: Setup, pod: Pod | None) -> Evidence | None:
    if pod is not None:
        return of_pod(pod)
    return of_missing(0, setup_name(s.job.metadata.name, record.stage, record.number), PARTS[record.stage])


def _another(s: Situation, spec: JobSpec, record: Setup, found: Evidence) -> Plan:
    """The next pod, or the end: charged as the failure of an attempt is."""
    failure = changed(as_failure(found, s.now), rank=None)
    old, charge = record.restarts, charge_of(failure)
    counted = changed(old, since_checkpoint=old.since_checkpoint + (charge is Charge.APPLICATION))
    if record.stage is SetupStage.INSPECT and failure.failure_class is FailureClass.CONFIG_ERROR:
        return refused(s, REFUSED, "; ".join(filter(None, (failure.message, failure.hint))))
    reason = exhausted(s, counted, failure)
    if reason is not None:
        return _failed(s, record, with_hint(failure, reason, failure.hint))
    return Plan(_opened(s, spec, record.stage, with_restart(counted, charge), failure))


def _done(s: Situation, spec: JobSpec, record: Setup, pod: Pod) -> Plan:
    """The end of a stage on record, with what it found."""
    status = changed(s.status, setup=changed(record, ended_at=s.now), waiting=None, failure=None)
    if record.stage is not SetupStage.INSPECT:
        return Plan(status)
    try:
        facts = facts_of(spec, pod)
    except ValueError as error:
        return refused(s, REFUSED, f"{error}; {OTHER_VERSION}")
    if wrong := mistake(spec, facts.shape):
        return refused(s, REFUSED, wrong)
    resolved = resolve(spec, facts.shape, s.seen.settings.trainer_image)
    status = changed(status, resolved=changed(resolved, model=facts))
    return Plan(with_condition(status, "Accepted", True, "Accepted", ACCEPTED, s.now))


def facts_of(spec: JobSpec, pod: Pod) -> ModelFacts:
    """What the inspection found.

    Raises:
        ValueError: it told nothing that can be used, with the reason.
    """
    try:
        facts = read_facts(pod.termination.message if pod.termination else "")
        if spec.model.on_hub and not facts.revision:
            raise ValueError("its facts name no commit, so restarts could find another model")
    except ValueError as error:
        raise ValueError(f"the inspection of the model ended well, but {error}") from None
    return facts


def _failed(s: Situation, record: Setup, failure: Failure) -> Plan:
    """The job is over before it began: the root cause goes on record."""
    failure = changed(failure, time=failure.time or s.now)
    status = changed(
        s.status,
        phase=Phase.FAILED,
        setup=changed(record, ended_at=s.now),
        failure=failure,
        waiting=None,
        observed_generation=s.job.metadata.generation,
    )
    return Plan(with_condition(status, "Failed", True, failure.failure_class.value, failure.message, s.now))


def _told(s: Situation) -> JobStatus:
    """The status on record, with what is waited for and how far the pod is."""
    status = changed(s.status, waiting=waiting(s), observed_generation=s.job.metadata.generation)
    report = s.seen.report
    if report is not None and progress_due(s, report):
        status = changed(status, progress=progress_of(report))
    return status
