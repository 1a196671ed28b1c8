"""Workloads and flavors of Kueue: from the API's JSON to what is decided on, and the words that are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from llmtrain_api import changed
from llmtrain_api.names import KIND
from llmtrain_api.schema.status import Placement

from ..kube.api import Object
from ..manifests.kueue import POD_SET
from .objects import Seen

TOPOLOGY_GATE = "kueue.x-k8s.io/topology"
LABEL_POD_SET = "kueue.x-k8s.io/podset"
ANNOTATION_WORKLOAD = "kueue.x-k8s.io/workload"


@dataclass(frozen=True, slots=True)
class SeenWorkload(Seen):
    """A Workload that stands for a gang of ours.

    Attributes:
        job: name and UID of the job that controls it.
        spec: as it is in the API.
        status: the same.
    """

    job: tuple[str, str] = ("", "")
    spec: Object = field(default_factory=dict)
    status: Object = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether Kueue may let it in."""
        return self.spec.get("active") is not False

    def condition(self, kind: str) -> Object:
        """The condition of that type; empty where it was never set."""
        found = (c for c in self.status.get("conditions") or () if c.get("type") == kind)
        return next(found, {})

    def holds(self, kind: str) -> bool:
        """Whether that condition is true."""
        return self.condition(kind).get("status") == "True"

    @property
    def reserves(self) -> bool:
        """Whether quota is set aside for it."""
        return self.holds("QuotaReserved") and not self.holds("Finished")

    @property
    def let_in(self) -> bool:
        """Whether its gang may start now."""
        # a true one is the newer: to reserve quota again makes it false
        wanted_back = self.holds("Evicted") or self.deletion_deadline is not None
        return self.active and self.reserves and self.holds("Admitted") and not wanted_back


class _Owner(msgspec.Struct):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    resource_version: str
    namespace: str = ""
    owner_references: list[_Owner] | None = None
    deletion_timestamp: str | None = None


class _Workload(msgspec.Struct):
    metadata: _Meta
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)


def decode_workload(raw: bytes) -> SeenWorkload | None:
    """A Workload; None for what is none, or is controlled by no job."""
    try:
        found = msgspec.json.decode(raw, type=_Workload)
    except msgspec.ValidationError:
        return None
    meta = found.metadata
    owner = next((o for o in meta.owner_references or () if o.controller and o.kind == KIND), None)
    if owner is None:
        return None
    return SeenWorkload(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=int(meta.resource_version),
        deletion_deadline=meta.deletion_timestamp,
        job=(owner.name, owner.uid),
        spec=found.spec,
        status=found.status,
    )


def why_it_waits(seen: SeenWorkload, queue: str) -> tuple[str, str]:
    """Reason and message, in Kueue's own words where it has said something."""
    if not seen.active:
        return "Deactivated", (
            f"Kueue: Workload {seen.name} was deactivated{_because(seen.condition('Evicted'))}; set its "
            "spec.active to true to queue again, or delete the job"
        )
    if seen.reserves:
        checks = seen.status.get("admissionChecks") or ()
        open_checks = [
            f"{c.get('name')} is {c.get('state')}{_because(c)}" for c in checks if c.get("state") != "Ready"
        ]
        text = "; ".join(open_checks) or seen.condition("Admitted").get("message") or "not admitted yet"
        return "AdmissionChecks", f"Kueue has set quota aside for Workload {seen.name}, and checks: {text}"
    said = seen.condition("QuotaReserved")
    if said.get("message"):
        return str(said.get("reason") or "Pending"), f"Kueue, queue {queue}: {said['message']}"
    return "WaitingForKueue", (
        f"Workload {seen.name} waits in queue {queue}, and Kueue has said nothing of it yet; if it lasts, "
        "see whether Kueue runs"
    )


def why_wanted_back(seen: SeenWorkload) -> str:
    """Why a gang that was let in is to go; empty = it is not."""
    if seen.deletion_deadline is not None:
        return f"Kueue's Workload {seen.name} was deleted"
    if seen.holds("Evicted"):
        return f"Kueue evicted Workload {seen.name}{_because(seen.condition('Evicted'))}"
    return "" if seen.active else f"Kueue's Workload {seen.name} was deactivated"


def _because(said: Object) -> str:
    return f" ({said['message']})" if said.get("message") else ""


def flavors_of(seen: SeenWorkload) -> list[str]:
    """Names of the ResourceFlavors that its pods were given, each once."""
    assigned = _assignment(seen).get("flavors") or {}
    return list(dict.fromkeys(assigned[resource] for resource in sorted(assigned)))


def placement_of(seen: SeenWorkload, queue: str, flavors: Iterable[Object]) -> Placement:
    """What the gang's pods need: the flavors' nodes, what admission checks add, and topology.

    Raises:
        ValueError: Kueue says something that a pod's placement cannot hold.
    """
    selector: dict[str, str] = {}
    tolerations: list[Object] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    gates: list[str] = []
    for flavor in flavors:
        spec = flavor.get("spec") or {}
        selector |= spec.get("nodeLabels") or {}
        tolerations += spec.get("tolerations") or []
    for check in seen.status.get("admissionChecks") or ():
        for update in check.get("podSetUpdates") or ():
            if update.get("name") == POD_SET:
                selector |= update.get("nodeSelector") or {}
                tolerations += update.get("tolerations") or []
                labels |= update.get("labels") or {}
                annotations |= update.get("annotations") or {}
    if _assignment(seen).get("topologyAssignment"):
        gates.append(TOPOLOGY_GATE)
        labels[LABEL_POD_SET] = POD_SET
        annotations[ANNOTATION_WORKLOAD] = seen.name
    try:
        return changed(
            Placement(queue=queue, workload=seen.name),
            node_selector=selector,
            tolerations=[t for n, t in enumerate(tolerations) if t not in tolerations[:n]],
            labels=labels,
            annotations=annotations,
            scheduling_gates=gates,
        )
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        raise ValueError(f"{where}: {found['msg']}") from None


def _assignment(seen: SeenWorkload) -> Object:
    assigned = (seen.status.get("admission") or {}).get("podSetAssignments") or ()
    return next((a for a in assigned if a.get("name") == POD_SET), {})
