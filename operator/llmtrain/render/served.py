"""What is to be served and from where, whether it can be, and what whoever applies it has to know."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api import Task
from llmtrain_api.schema.locations import folder

VLLM_IMAGE = "vllm/vllm-openai:v0.33.0"
"""What serves where no KServe is."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM makes room for."""
KSERVE_TASKS = {
    Task.CAUSAL: "text_generation",
    Task.CHAT: "text_generation",
    Task.PREFERENCE: "text_generation",
    Task.SEQ2SEQ: "text2text_generation",
    Task.TEXT2TEXT: "text2text_generation",
    Task.MASKED: "fill_mask",
    Task.CLASSIFICATION: "sequence_classification",
    Task.REGRESSION: "sequence_classification",
    Task.REINFORCEMENT: "text_generation",
    Task.REWARD: "sequence_classification",
    Task.TOKENS: "token_classification",
}
"""KServe's word for what an export does, by the task that it learnt."""
WRITES = (Task.CAUSAL, Task.CHAT, Task.PREFERENCE, Task.REINFORCEMENT)
"""Tasks whose exports write text after a text: those that vLLM serves."""
REGISTRY = ("oci", "oci+native")
"""Schemes of an image with the files below ``/models``."""


@dataclass(frozen=True)
class AdapterAlone:
    """An export that is an adapter without the weights that it stands beside, or many of them.

    Attributes:
        base: the model: ``OWNER/NAME`` of the hub, or ``pvc://CLAIM/FOLDER``.
        revision: commit of it, on the hub.
        rank: of the adapter; of many the largest.
        secret: Secret with the hub's token, for a base that is not public.
        many: name of each, and its folder below the export; empty for one alone.
    """

    base: str
    revision: str | None
    rank: int
    secret: str | None = None
    many: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Served:
    """What is served, and from where.

    Attributes:
        name: of the model, and of what serves it.
        task: that it learnt.
        uri: where the export lies: ``pvc://CLAIM/FOLDER``, ``s3://BUCKET/FOLDER`` or
            ``oci://HOST/REPOSITORY@DIGEST``.
        namespace: where the claim is; None where nobody said.
        gpus: of a replica; 0 for a CPU.
        cpu: as a quantity.
        memory: as a quantity.
        image: of vLLM.
        service_account: whose Secrets KServe reads a bucket with.
        secret: with the keys of the bucket, for vLLM; of an image, with which nodes pull it.
        adapter: where the export is one, alone.
    """

    name: str
    task: Task
    uri: str
    namespace: str | None = None
    gpus: int = 1
    cpu: str = "4"
    memory: str = "16Gi"
    image: str = VLLM_IMAGE
    service_account: str | None = None
    secret: str | None = None
    adapter: AdapterAlone | None = None

    @property
    def in_registry(self) -> bool:
        """Whether it is an image."""
        return folder(self.uri).scheme in REGISTRY


def refusal(served: Served, *, plain: bool) -> str | None:
    """Why it cannot be served so, with what can be done; None where it can.

    Args:
        served: what is served.
        plain: by vLLM alone, without KServe.
    """
    scheme = folder(served.uri).scheme
    if scheme not in ("pvc", "s3", *REGISTRY):
        return (
            f"{served.uri} is nothing that a cluster reads; use --uri pvc://CLAIM/FOLDER, s3://BUCKET/FOLDER "
            "or oci://HOST/REPOSITORY@DIGEST"
        )
    if served.task not in KSERVE_TASKS:
        return (
            f"neither KServe's runtime nor vLLM serves task {served.task}; the model card has a program that "
            "opens it with transformers, to be served by one of your own"
        )
    if plain and served.task not in WRITES:
        return (
            f"vLLM serves models that write text after a text, and task {served.task} does not; leave out "
            "--plain: KServe's runtime serves it"
        )
    if plain and not served.gpus and served.image == VLLM_IMAGE:
        return f"{VLLM_IMAGE} needs a GPU; use --gpus 1, or --image with a build of vLLM for CPUs"
    return _refused_adapter(served, served.adapter, plain=plain) if served.adapter else None


def _refused_adapter(served: Served, adapter: AdapterAlone, *, plain: bool) -> str | None:
    if not plain and adapter.many:
        return f"{served.name} has adapters alone, and KServe's runtime opens whole models; use --plain"
    if not plain:
        return (
            f"{served.name} is an adapter alone, and KServe's runtime opens whole models; use --plain, or "
            "export it with output.merged: true"
        )
    if adapter.rank > RANKS[-1]:
        return f"vLLM serves adapters of rank {RANKS[-1]} at most, and this one has {adapter.rank}; merge it"
    if "://" in adapter.base and folder(adapter.base).scheme != "pvc":
        fix = (
            "copy it to a claim, and train over it there"
            if adapter.many
            else ("export it with output.merged: true")
        )
        return f"the adapter's base {adapter.base} is neither on a claim nor on the hub; {fix}"
    return None


def hints(served: Served, *, plain: bool) -> list[str]:
    """What whoever applies it has to know beside."""
    told = []
    if folder(served.uri).scheme == "s3" and plain and not served.secret:
        told.append(
            "the bucket is read without keys; --secret NAME gives those of a Secret, as output.secret"
        )
    if folder(served.uri).scheme == "s3" and not plain and not served.service_account:
        told.append(
            "KServe reads a bucket with the Secrets of a ServiceAccount (--service-account NAME); for a "
            "store that is not Amazon's, the Secret has annotation serving.kserve.io/s3-endpoint"
        )
    if served.in_registry:
        # KServe mounts a folder of the image, which older runtimes take for the whole of it
        kserve = "containerd 2.2 or CRI-O 1.33; KServe must know oci+native"
        by = "containerd 2.1 or CRI-O 1.31" if plain else kserve
        told.append(
            f"nodes mount the image as a volume: Kubernetes 1.35, or 1.33 with the gate ImageVolume, and {by}"
        )
        if not served.secret:
            told.append(
                "nodes pull it as anybody; --secret NAME is one of type kubernetes.io/dockerconfigjson"
            )
    if served.task in (Task.SEQ2SEQ, Task.MASKED):
        told.append(f"it was trained on {served.task} alone: it fills gaps, and answers nobody")
    return told
