"""Sweeps and the jobs of their trials: from the API's JSON to what is planned with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import ValidationError

from llmtrain_api.schema.status.sweep import SweepStatus

from ..kube.api import Object
from ..kube.jobs import JobStore
from ..scheduling.objects import Seen
from .plan import SeenSweep, SeenTrial


@dataclass(frozen=True, slots=True)
class SweepObject(Seen):
    """One version of a sweep.

    Attributes:
        raw: the object.
    """

    raw: Object = field(default_factory=dict)

    @property
    def generation(self) -> int:
        """Of its spec."""
        return int(self.raw["metadata"].get("generation", 0))

    @property
    def status(self) -> SweepStatus:
        """What is on record of it; nothing where that cannot be read."""
        try:
            return SweepStatus.model_validate(self.raw.get("status") or {})
        except ValidationError:
            return SweepStatus()


def decode_sweep(raw: bytes) -> SweepObject | None:
    """A sweep; None where the answer is none."""
    return sweep_of(orjson.loads(raw))


def sweep_of(body: Object) -> SweepObject | None:
    """A sweep from its JSON; None where it is none."""
    meta = body.get("metadata") or {}
    if not meta.get("uid") or not isinstance(body.get("spec"), dict):
        return None
    return SweepObject(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=int(meta["resourceVersion"]),
        deletion_deadline=meta.get("deletionTimestamp"),
        raw=body,
    )


def seen_sweep(found: SweepObject, jobs: JobStore) -> SeenSweep:
    """A sweep with the jobs of its namespace that bear its name."""
    begins = f"{found.name}-"
    names = [n for space, n in jobs if space == found.namespace and n.startswith(begins)]
    return SeenSweep(
        namespace=found.namespace,
        name=found.name,
        uid=found.uid,
        generation=found.generation,
        spec=found.raw["spec"],
        status=found.status,
        jobs={name: _trial(jobs, (found.namespace, name), found.uid) for name in names},
    )


def _trial(jobs: JobStore, key: tuple[str, str], uid: str) -> SeenTrial:
    job = jobs.find(key)
    assert job is not None
    return trial_of(orjson.loads(job.raw), uid)


def trial_of(body: Object, uid: str) -> SeenTrial:
    """A job as a trial.

    Args:
        body: the job.
        uid: of the sweep.
    """
    status: dict[str, Any] = body.get("status") or {}
    owners = body["metadata"].get("ownerReferences") or []
    return SeenTrial(
        ours=any(owner.get("uid") == uid and owner.get("controller") for owner in owners),
        phase=str(status.get("phase") or ""),
        results=status.get("results") or {},
        message=_message(status),
        model=(status.get("resolved") or {}).get("model") or {},
    )


def _message(status: dict[str, Any]) -> str:
    if failure := status.get("failure"):
        return str(failure.get("message", "")) if status.get("phase") == "Failed" else ""
    refused = [c for c in status.get("conditions") or () if (c["type"], c["status"]) == ("Accepted", "False")]
    return str(refused[0].get("message", "")) if refused else ""
