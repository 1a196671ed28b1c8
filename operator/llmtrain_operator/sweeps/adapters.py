"""What a sweep of adapters has come to: which may be served over the one base, and which failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from llmtrain_api import AdapterSpec, changed
from llmtrain_api.schema.status.adapters import AdapterRecord, BaseRecord
from llmtrain_api.schema.status.sweep import SweepPhase, SweepStatus, TrialRecord
from llmtrain_api.schema.sweep import SweepSpec

FOLDER = "adapter"
"""Folder of the adapter, in that of an export."""
MAX_MESSAGE = 512
"""Characters of what is told of one adapter: so many of them need room in one object."""
CHANGED = (
    "spec has changed since the first adapter; put it back as it was (adapters may be added at the end of "
    "the list), or delete the sweep and apply it again (what its jobs have made stays)"
)
NONE = "its job has succeeded without an exported adapter: its image is older than the operator; use the same"


def base_of(spec: SweepSpec, model: Mapping[str, Any]) -> BaseRecord:
    """The base that a job has trained beside.

    Args:
        spec: of the sweep.
        model: ``status.resolved.model`` of the job.
    """
    known = {name: model.get(name) for name in ("revision", "digest", "weights")}
    return BaseRecord(name=str(spec.job["model"]["name"]), **known)


def exported(
    spec: SweepSpec, record: TrialRecord, results: Mapping[str, Any], own: BaseRecord, base: BaseRecord
) -> TrialRecord:
    """The record of an adapter whose job has succeeded.

    Args:
        spec: of the sweep.
        record: with the phase and the held-out loss.
        results: of the job.
        own: the base that it was trained beside.
        base: the one of the others.
    """
    if own != base:
        return changed(record, adapter=None, message=_other(own, base))
    adapter = AdapterSpec.model_validate(spec.job["model"]["adapter"])
    told = results.get("adapter") or {}
    assert spec.adapters is not None
    try:
        found = AdapterRecord(
            name=spec.adapters[record.number].name,
            uri=f"{results['exportUri']}/{FOLDER}",
            rank=adapter.rank,
            alpha=adapter.alpha,
            weights=told["weights"],
            data=told["data"],
        )
    except (KeyError, ValidationError):
        return changed(record, adapter=None, message=NONE)
    return changed(record, adapter=found, message=None)


def _other(own: BaseRecord, base: BaseRecord) -> str:
    if own.revision != base.revision:
        return (
            f"it was trained over revision {own.revision} of {base.name}, and the others over "
            f"{base.revision}; name the commit in job.model.revision, and train it again"
        )
    return f"{base.name} was another model when it was trained than for the others; train it again"


def ended(status: SweepStatus, records: Sequence[TrialRecord]) -> SweepStatus:
    """A sweep whose jobs are over: it has succeeded where there is anything to serve."""
    failed = [record for record in records if record.adapter is None]
    if not failed:
        return changed(status, phase=SweepPhase.SUCCEEDED, message=None)
    done = len(records) - len(failed)
    first = failed[0]
    text = f"{done} of {len(records)} adapters can be served; the first that cannot, {first.job}: "
    phase = SweepPhase.SUCCEEDED if done else SweepPhase.FAILED
    return changed(status, phase=phase, message=text + (first.message or "its job failed"))


def summary(records: Sequence[TrialRecord], final: Sequence[str]) -> str:
    """For kubectl get: those that are over, of all, and how many of them failed."""
    over = [record for record in records if record.phase in final]
    failed = sum(record.adapter is None for record in over)
    return f"{len(over)}/{len(records)}" + (f", {failed} failed" if failed else "")
