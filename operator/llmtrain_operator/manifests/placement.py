"""A worker pod with what another scheduler said when it let the gang in."""

from __future__ import annotations

from llmtrain_api.schema.status import Placement

from ..types import Manifest


def placed(pod: Manifest, placement: Placement | None) -> Manifest:
    """The pod on the nodes that its gang was given. The operator's own labels and annotations win.

    Args:
        pod: as it is made for the operator's own queue.
        placement: what is on record; None = nothing to add.
    """
    if placement is None:
        return pod
    meta, spec = pod["metadata"], pod["spec"]
    metadata = {
        **meta,
        "labels": {**placement.labels, **meta["labels"]},
        "annotations": {**placement.annotations, **meta["annotations"]},
    }
    added: Manifest = {
        "nodeSelector": {**spec.get("nodeSelector", {}), **placement.node_selector},
        "tolerations": [*spec["tolerations"], *(t.to_json() for t in placement.tolerations)],
        "schedulingGates": [{"name": name} for name in placement.scheduling_gates],
    }
    return {
        **pod,
        "metadata": metadata,
        "spec": {**spec, **{name: value for name, value in added.items() if value}},
    }
