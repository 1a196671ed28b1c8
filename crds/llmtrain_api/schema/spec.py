"""``spec`` of an LLMTrainingJob: what a user may ask for.

Every list, map and string is bounded (the API server refuses CEL rules over unbounded ones), and every
default is here and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, JsonValue, model_validator

from ..names import CONTROLLER
from .base import ApiModel, Rule, RuledModel, left_open
from .checkpoint import CheckpointSpec
from .dataset import DatasetSpec
from .entrypoint import EntrypointSpec, Starter
from .evaluation import EvaluationSpec
from .hyperparameters import LearningRate, default_learning_rate
from .lifecycle import LifecycleSpec
from .locations import VISIBLE_PART, forms, matches, mistake
from .model import BuiltinModel, ModelSpec
from .placement import PlacedPodSpec
from .pod_template import PodTemplate
from .prepare import PrepareSpec
from .publish import PublishSpec
from .quantity import CpuQuantity, MemoryQuantity
from .recovery import RecoverySpec
from .scheduling import ControllerName, ExtendedResource, ObjectName
from .task import Task
from .telemetry import TelemetrySpec
from .training import TrainingSpec, default_precision


class IfExists(StrEnum):
    """What to do with an output folder that another job has written to."""

    FAIL = "fail"
    RESUME = "resume"
    NEW = "new"


class ParallelismSpec(ApiModel):
    """How each copy of the model is cut into parts; ranks beyond one copy train on other data."""

    tensor: int = Field(
        default=1, ge=1, le=64, description="Ranks that share each weight matrix (tensor parallelism)."
    )
    pipeline: int = Field(
        default=1, ge=1, le=256, description="Stages of consecutive layers (pipeline parallelism)."
    )
    sequence: int = Field(
        default=1, ge=1, le=64, description="Ranks that share each sequence (Ulysses sequence parallelism)."
    )

    @property
    def ranks(self) -> int:
        """Ranks of one copy of the model."""
        return self.tensor * self.pipeline * self.sequence


class OutputSpec(RuledModel):
    """Where checkpoints, logs and the exported model go."""

    uri: str = Field(
        max_length=512,
        description=(
            "pvc://CLAIM/FOLDER, on a claim that is ReadWriteMany when there are several nodes; or "
            "s3://BUCKET/FOLDER in an object store: nodes then share no folder, and each works in its own "
            "scratch space."
        ),
    )
    secret: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description=(
            "Secret in the job's namespace whose keys become the workers' environment: AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for a store that is not Amazon's. Only for s3://."
        ),
    )
    if_exists: IfExists = Field(
        default=IfExists.FAIL,
        description="What to do when another job has written to the folder: fail and name that job, resume "
        "from its newest checkpoint, or make a new folder beside it.",
    )
    merged: bool = Field(
        default=True,
        description="With model.adapter: also export the model with its adapters merged into the weights, "
        "which opens like any other. false: the adapters alone.",
    )
    publish: PublishSpec | None = Field(
        default=None,
        description="Push the exported folder to a model hub, or to a registry of images, once it is "
        "verified. Default: it stays in uri.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "uri",
            ".uri",
            forms(VISIBLE_PART, bucket=True),
            "use pvc://CLAIM/FOLDER, such as pvc://checkpoints/my-run, or s3://BUCKET/FOLDER; "
            "no folder may be hidden, empty, '.' or '..'",
            why=lambda uri: mistake(uri, hidden=False, bucket=True),
        ),
        Rule(
            "!has(self.secret) || self.uri.startsWith('s3://')",
            ".secret",
            "only an s3:// output has credentials; remove output.secret, or use s3://BUCKET/FOLDER",
            lambda output: (
                None
                if output.secret is None or output.in_object_store
                else f"got {output.secret!r}, but uri {output.uri!r} needs no credentials; remove one of them"
            ),
        ),
    )

    @property
    def in_object_store(self) -> bool:
        """Whether the output is no folder that nodes share."""
        return self.uri.startswith("s3://")


class RdmaSpec(ApiModel):
    """Devices for direct access to the memory of other nodes."""

    resource: ExtendedResource = Field(
        description="Name under which nodes offer the device, such as rdma/hca or nvidia.com/roce."
    )
    count: int = Field(default=1, ge=1, le=64, description="Devices of each node.")


class ResourcesSpec(ApiModel):
    """CPU and memory of each node."""

    cpu: CpuQuantity = Field(
        default="1",
        json_schema_extra=left_open,
        description="CPU request of each node, such as 2, 0.5 or 500m. Without GPUs, its ranks compute in "
        "that many threads together; set OMP_NUM_THREADS in podTemplate for another number. Default: the "
        "runtime's, or 1.",
    )
    cpu_limit: CpuQuantity | None = Field(
        default=None,
        description="CPU limit of each node, at least resources.cpu, for namespaces with a quota on "
        "limits.cpu. Default: no limit.",
    )
    memory: MemoryQuantity = Field(
        default="4Gi",
        json_schema_extra=left_open,
        description="Memory request and limit of each node, such as 512Mi or 4Gi. Default: the runtime's, or "
        "4Gi.",
    )
    gpu_memory: MemoryQuantity = Field(
        default="80Gi",
        json_schema_extra=left_open,
        description="Memory of one GPU, such as 80Gi. It decides the ZeRO stage when zeroStage is unset. "
        "Default: the runtime's, or 80Gi.",
    )
    gpu_resource: ExtendedResource = Field(
        default="nvidia.com/gpu",
        json_schema_extra=left_open,
        description="Name under which nodes offer GPUs, such as amd.com/gpu; the image must fit them. "
        "Default: the runtime's, or nvidia.com/gpu.",
    )
    rdma: RdmaSpec | None = Field(
        default=None, description="Devices for direct access to the memory of other nodes. Default: none."
    )
    shared_memory: MemoryQuantity | None = Field(
        default=None,
        description="Size of /dev/shm, which counts as the node's memory, such as 16Gi. Default: as large as "
        "memory with GPUs; the container runtime's 64 MiB without.",
    )


UNSET: dict[str, JsonValue] = {"x-unset": True}
"""Of a section that the API server gives no default: who left it out is asked for it, or needs none."""


class JobSections(ApiModel):
    """What is trained, on what, and how.

    With an ``entrypoint`` nobody reads ``model`` and ``dataset``, which then hold what is smallest of each.
    """

    entrypoint: EntrypointSpec | None = Field(
        default=None,
        description="A program of your own in place of the trainer, in the same gang; model, dataset and all "
        "else that says what the trainer does are left out then. Default: the trainer.",
    )
    model: ModelSpec = Field(
        default_factory=lambda: ModelSpec(name=BuiltinModel.TINY_LLAMA),
        json_schema_extra=UNSET,
        description="The model to train. Required without entrypoint.",
    )
    task: Task | None = Field(
        default=None,
        description="What the model learns: causal (the next token), chat (the answers in dialogues), "
        "imageChat (the answers in dialogues with images), "
        "preference (which of two answers is better, or which answers are desirable), reward (a number of "
        "each answer, higher for the better one), reinforcement (to write "
        "answers that are rewarded), masked (masked tokens), seq2seq (hidden spans); or, "
        "from samples: classification (a class of each text or pair of texts), regression (a number of "
        "each), tokenClassification (a tag of each word), questionAnswering (where in a text the answer to a "
        "question stands) or text2text (a text from a text: translation, summaries). "
        "Default: what models of its architecture learn.",
    )
    dataset: DatasetSpec = Field(
        default_factory=lambda: DatasetSpec(name="builtin://random-tokens"),
        json_schema_extra=UNSET,
        description="The text to train on. Required without entrypoint.",
    )
    prepare: PrepareSpec = Field(
        default_factory=PrepareSpec, description="Where the data are prepared before training."
    )
    output: OutputSpec = Field(description="Where checkpoints, logs and the exported model go.")
    nodes: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Pods of the gang, one per node where possible. May be edited at any time with minNodes.",
    )
    min_nodes: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Fewest nodes to train on while there is no room for all; the gang grows later, from a "
        "checkpoint, with the same global batch. Default: it waits for all nodes.",
    )
    gpus_per_node: int = Field(
        default=0, ge=0, le=64, description="GPUs per node; 0 trains on CPUs with gloo."
    )
    processes_per_node: int = Field(
        default=1, ge=1, le=64, description="Training processes per node when there are no GPUs."
    )
    resources: ResourcesSpec = Field(default_factory=ResourcesSpec, description="CPU and memory per node.")
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="How the model is trained.")
    parallelism: ParallelismSpec = Field(
        default_factory=ParallelismSpec,
        description="How each copy of the model is cut into parts. Default: not at all (ZeRO alone).",
    )
    checkpoint: CheckpointSpec = Field(
        default_factory=CheckpointSpec, description="When checkpoints are saved."
    )
    evaluation: EvaluationSpec = Field(
        default_factory=EvaluationSpec, description="When the held-out loss is measured."
    )
    telemetry: TelemetrySpec = Field(
        default_factory=TelemetrySpec, description="Trackers of experiments that are told of the curves too."
    )
    recovery: RecoverySpec = Field(
        default_factory=RecoverySpec, description="How often the gang is started again before the job fails."
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of the trainer. Default: the one in the operator's settings.",
    )

    @property
    def judges_answers(self) -> bool:
        """Whether a sample is one answer that is desirable or not."""
        preference = self.training.preference
        return self.task is Task.PREFERENCE and preference is not None and preference.loss.of_answers

    @property
    def sequences_a_sample(self) -> int:
        """Sequences that a sample of the batch is trained on."""
        if self.task is Task.REINFORCEMENT and self.training.reinforcement is not None:
            return self.training.reinforcement.group_size
        return 1 if self.task is None or self.judges_answers else self.task.sequences

    @property
    def updates_a_step(self) -> int:
        """Updates of the weights in a step."""
        how = self.training.reinforcement
        return 1 if how is None else how.iterations

    @property
    def answer_tokens(self) -> int:
        """Tokens of a sequence that are left to an answer that the model writes itself."""
        how = self.training.reinforcement
        return 0 if how is None else how.max_new_tokens

    @model_validator(mode="after")
    def _decide_defaults(self) -> JobSections:
        """Fill in what `training` leaves out and other sections decide; it still counts as not set."""
        training = self.training
        wanted = {
            "precision": default_precision(self.gpus_per_node),
            "learning_rate": self.default_learning_rate.value,
        }
        left_out = {
            name: value
            for name, value in wanted.items()
            if name not in training.model_fields_set and getattr(training, name) != value
        }
        if left_out:
            decided = training.model_copy(update=left_out)
            decided.model_fields_set.difference_update(left_out)
            self.__dict__["training"] = decided
        return self

    @property
    def default_learning_rate(self) -> LearningRate:
        """What `training.learning_rate` is where the job does not say."""
        return default_learning_rate(
            pretrained=self.model.pretrained,
            adapted=self.model.adapter is not None,
            pairs=self.task is Task.PREFERENCE,
            rewarded=self.task is Task.REINFORCEMENT,
        )

    @property
    def held_out_fraction(self) -> float:
        """Share of the documents that nothing is learnt from: all of them where nothing is learnt."""
        return 1.0 if self.evaluation.only else self.dataset.held_out_fraction

    @property
    def local_world_size(self) -> int:
        """Training processes on each node that are started here."""
        if self.entrypoint is not None and self.entrypoint.starter is Starter.NONE:
            return 1
        return self.gpus_per_node or self.processes_per_node

    @property
    def world_size(self) -> int:
        """Training processes of the gang."""
        return self.nodes * self.local_world_size

    @property
    def elastic(self) -> bool:
        """Whether the gang may have fewer nodes than it wants."""
        return self.min_nodes is not None and self.min_nodes < self.nodes

    def with_nodes(self, nodes: int) -> Self:
        """The job with a gang of that many nodes, no more and no less."""
        return self.model_copy(update={"nodes": nodes, "min_nodes": None})

    @property
    def prepares_first(self) -> bool:
        """Whether a pod without GPUs prepares the data before the gang is created."""
        if self.entrypoint is not None:
            return False
        nodes = self.prepare.nodes
        return self.gpus_per_node > 0 if nodes is None else nodes > 0


class JobSpec(LifecycleSpec, PlacedPodSpec, JobSections):
    """What the job is: twelve lines are enough, as everything else has a default."""

    runtime: ObjectName | None = Field(
        default=None,
        description="Name of the LLMTrainingRuntime of the job's namespace, or else of the "
        "ClusterLLMTrainingRuntime, that gives defaults and sets bounds. The job keeps what it began with. "
        "Default: the installation's, if it has one.",
    )
    queue_name: ObjectName | None = Field(
        default=None,
        description="Queue of another scheduler that the gang waits in, such as a LocalQueue of Kueue in the "
        "job's namespace or a Queue of Volcano, where the chart has queue.provider. Default: the "
        "operator's own queue.",
    )
    managed_by: ControllerName | None = Field(
        default=None,
        description="Controller that runs the job. With another than " + CONTROLLER + ", such as "
        "kueue.x-k8s.io/multikueue, this operator leaves the job and its status alone. Never changes. "
        "Default: this operator.",
    )
    pod_template: PodTemplate | None = Field(
        default=None,
        description="What is added to the worker pods, in a pod's own words: volumes, environment, sidecars, "
        "init containers, affinity. What the operator needs cannot be changed. Default: nothing.",
    )

    # what its sections must be to each other is in `rules`, which `parse_spec` holds and this model does not
