"""Values that tests start from."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from llmtrain_api import (
    Attempt,
    Job,
    JobStatus,
    Outcome,
    Phase,
    ProgressReport,
    Restarts,
    Results,
    Stage,
    TerminationMessage,
    Workers,
    changed,
)
from llmtrain_operator.types import (
    LastReport,
    Observed,
    PlanSettings,
    Pod,
    PodPhase,
    Refusal,
    Termination,
)

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = PlanSettings(trainer_image="trainer:1", report_url="https://op:8443", ca_certificate="CA")
UID = "11111111-2222-3333-4444-555555555555"

POD_FIELDS: dict[str, Any] = {
    "nodeSelector": {"pool": "a100"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "imagePullSecrets": [{"name": "pull"}],
    "priorityClassName": "high",
    "serviceAccountName": "trainer",
    "annotations": {"example.com/owner": "Team A"},
    "labels": {"team": "a"},
}
"""Every field that a pod has too, as a user writes it."""


SHAPE: dict[str, Any] = {
    "architecture": "LlamaForCausalLM",
    "switches": [],
    "hidden": 64,
    "layers": 2,
    "heads": 4,
    "kvHeads": 4,
    "headSize": 16,
    "width": 256,
    "vocabulary": 2048,
    "positions": 2048,
    "parameters": 500_000,
}
FACTS: dict[str, Any] = {"shape": SHAPE, "digest": "0" * 64, "stored": "BF16", "weightBytes": 1_000_000}
FACTS["revision"] = "c" * 40
"""What an inspection tells of a small model of the hub."""


SEVEN_BILLION: dict[str, Any] = {
    "name": "builtin://tiny-llama",
    "hiddenSize": 4096,
    "numLayers": 32,
    "numHeads": 32,
    "intermediateSize": 11008,
    "vocabSize": 32000,
}
"""A model with the sizes of one that has as many parameters."""


def running(attempt: int = 0, **fields: Any) -> JobStatus:
    """The status of a gang of two that runs an attempt, with fields replaced; earlier attempts have ended."""
    records = [
        Attempt(number=k, started_at=T0, created_at=T0, running_at=T0, ended_at=None if k == attempt else T0)
        for k in range(attempt + 1)
    ]
    status = JobStatus(
        phase=Phase.RUNNING,
        attempt=attempt,
        restarts=Restarts(total=attempt),
        workers=Workers(desired=2, ready=2, summary="2/2"),
        attempts=records,
    )
    return changed(status, **fields)


def manifest(name: str = "tiny", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """A manifest that is right, with top-level fields of spec replaced (None removes one)."""
    base: dict[str, Any] = {
        "model": {"name": "builtin://tiny-llama"},
        "dataset": {"name": "builtin://python-stdlib"},
        "nodes": 2,
        "training": {"maxSteps": 20},
        "output": {"uri": f"pvc://checkpoints/{name}"},
    }
    for key, value in spec.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = value
    return {
        "apiVersion": "llmtrain.dev/v1alpha1",
        "kind": "LLMTrainingJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": deepcopy(base),
    }


def quick_manifest(name: str, steps: int, **spec: Any) -> dict[str, Any]:
    """Small enough that its time goes into starting, and with a checkpoint every 25 steps."""
    return manifest(
        name,
        model={"name": "builtin://tiny-llama", "hiddenSize": 32, "numLayers": 2, "vocabSize": 512},
        dataset={"name": "builtin://python-stdlib", "maxBytes": 500_000},
        training={"maxSteps": steps, "globalBatchSize": 4, "microBatchSize": 2, "sequenceLength": 32},
        checkpoint={"everySteps": 25, "keep": 1000},
        evaluation={"everySteps": 0, "maxSequences": 32},
        **spec,
    )


def job(status: JobStatus | None = None, **spec: Any) -> Job:
    """The object as the API server holds it."""
    raw = manifest(**spec)
    raw["metadata"] |= {"uid": UID, "resourceVersion": "7", "generation": 1}
    if status is not None:
        raw["status"] = status.to_json()
    return Job.model_validate(raw)


def seen(
    of: Job,
    pods: tuple[Pod, ...] = (),
    report: LastReport | None = None,
    refusal: Refusal | None = None,
) -> Observed:
    return Observed(job=of, pods=pods, report=report, refusal=refusal, settings=SETTINGS)


def pod(attempt: int, rank: int, phase: PodPhase = PodPhase.RUNNING, **changes: Any) -> Pod:
    fields: dict[str, Any] = {
        "namespace": "default",
        "name": f"tiny-{attempt}-{rank}",
        "uid": f"uid-{attempt}-{rank}",
        "resource_version": 1,
        "job": "tiny",
        "job_uid": UID,
        "attempt": attempt,
        "rank": rank,
        "phase": phase,
        "node": f"node{rank + 1}",
    }
    return Pod(**(fields | changes))


def ended(message: TerminationMessage | str, code: int, at: datetime, reason: str = "Error") -> Termination:
    text = message if isinstance(message, str) else message.model_dump_json(by_alias=True, exclude_none=True)
    return Termination(exit_code=code, reason=reason, message=text, finished_at=at)


def complete(steps: int = 20) -> TerminationMessage:
    return TerminationMessage(
        outcome=Outcome.COMPLETE,
        exit_code=0,
        checkpoint_step=steps,
        results=Results(steps=steps, train_loss=2.5, eval_loss=2.6, perplexity=13.5),
    )


def report(attempt: int = 0, at: datetime = T0, **fields: Any) -> LastReport:
    values: dict[str, Any] = {"stage": Stage.TRAIN, "step": 5, "total_steps": 20, "loss": 3.0}
    return LastReport(ProgressReport(job_uid=UID, attempt=attempt, **(values | fields)), at)


def later(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)
