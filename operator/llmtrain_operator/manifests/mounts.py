"""What a pod of the trainer sees of disks: its volumes, and where its container finds each."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api import JobSpec
from llmtrain_api.names import (
    CACHE_MOUNT,
    CONFIG_DIR,
    MODEL_MOUNT,
    ORIGIN_MOUNT,
    OUTPUT_MOUNT,
    PAIRS_MOUNT,
    PENALTY_PAIRS_MOUNT,
    REWARD_MODEL_MOUNT,
    SCRATCH_MOUNT,
    TASKS_MOUNT,
    TOKEN_AUDIENCE,
    TOKEN_DIR,
)

from ..types import Manifest
from .volumes import (
    Location,
    cache_location,
    model_location,
    output_location,
    pairs_location,
    penalty_pairs_location,
    reward_model_location,
    set_claims,
    tasks_location,
    text_claims,
)

TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Mounted:
    """A volume of a pod, and where its container finds it.

    Attributes:
        name: of the volume.
        source: what the volume is, as a pod's manifest says it.
        path: in the container.
        read_only: whether the container only reads it.
    """

    name: str
    source: Manifest
    path: str
    read_only: bool = True

    def volume(self) -> Manifest:
        """The line of the pod's volumes."""
        return {"name": self.name, **self.source}

    def mount(self) -> Manifest:
        """The line of the container's mounts."""
        return {"name": self.name, "mountPath": self.path} | ({"readOnly": True} if self.read_only else {})


def of_model(spec: JobSpec) -> list[Mounted]:
    """The claim that the model lies in."""
    model = model_location(spec.model)
    if not model or not model.claim:
        return []
    return [Mounted("model", _claim(model.claim), f"{MODEL_MOUNT}/{model.claim}")]


def of_job(spec: JobSpec, origin: Location | None) -> list[Mounted]:
    """The claims of a job beside its model's; ``origin`` is where the output lies that it begins with."""
    output, cache = output_location(spec.output.uri).claim, cache_location(spec.dataset).claim
    pairs, penalty = (
        pairs_location(spec.evaluation).claim,
        penalty_pairs_location(spec.training).claim,
    )
    begun = origin.claim if origin else None
    named = [
        ("output", output, OUTPUT_MOUNT, False),
        ("origin", begun, f"{ORIGIN_MOUNT}/{begun}", True),
        ("cache", cache, CACHE_MOUNT, False),
        ("pairs", pairs, PAIRS_MOUNT, True),
        ("tasks", tasks_location(spec.evaluation).claim, TASKS_MOUNT, True),
        ("penalty-pairs", penalty, PENALTY_PAIRS_MOUNT, True),
        ("reward-model", reward_model_location(spec.training).claim, REWARD_MODEL_MOUNT, True),
        *((text.volume, text.claim, text.mount, True) for text in text_claims(spec.dataset)),
        *((one.volume, one.claim, one.mount, True) for one in set_claims(spec.evaluation)),
    ]
    return [Mounted(name, _claim(claim), path, read) for name, claim, path, read in named if claim]


def of_pod(config: str, scratch_size: str) -> list[Mounted]:
    """What every pod has.

    Args:
        config: name of the ConfigMap with ``job.json``.
        scratch_size: how much it may write to the node's disk; empty = no limit.
    """
    token = {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
    scratch = {"sizeLimit": scratch_size} if scratch_size else {}
    return [
        Mounted("config", {"configMap": {"name": config}}, CONFIG_DIR),
        Mounted("token", {"projected": {"sources": [{"serviceAccountToken": token}]}}, TOKEN_DIR),
        Mounted("scratch", {"emptyDir": scratch}, SCRATCH_MOUNT, read_only=False),
    ]


def shared_memory(size: str) -> Mounted:
    """``/dev/shm`` of a size of its own, instead of the container runtime's 64 MB."""
    return Mounted("shm", {"emptyDir": {"medium": "Memory", "sizeLimit": size}}, "/dev/shm", read_only=False)


def _claim(claim: str) -> Manifest:
    return {"persistentVolumeClaim": {"claimName": claim}}
