"""The contract of ``llmtrain.dev/v1alpha1``: the only definition of a field, for every other part."""

from .errors import explain
from .estimate.zero_stage import layout_of
from .facts import Headers, InvalidModel, StoredTensor, facts_of, shape_of_config
from .families import shape_of, task_of
from .job import InvalidJob, Job, Metadata, parse_manifest, parse_spec
from .layouts.layout import Layout, Place
from .messages import (
    InspectFile,
    JobFile,
    JobIdentity,
    Outcome,
    ProgressReport,
    ProgressUpdate,
    Rendezvous,
    ReportTarget,
    Stage,
    TerminationMessage,
)
from .schema.adapter import AdapterSpec
from .schema.base import ApiModel, Rule, Time, changed, to_rfc3339
from .schema.dataset import DatasetSpec, SourceSpec
from .schema.lifecycle import EDITABLE, LifecycleSpec
from .schema.model import BuiltinModel, ModelSpec, Weights
from .schema.model_facts import FACTS_LIMIT, ModelFacts, TokenizerFacts
from .schema.optimization import EarlyStoppingSpec, OnSpike, Schedule
from .schema.scheduling import Toleration, WorkerDefaults
from .schema.spec import CheckpointSpec, IfExists, JobSpec, ParallelismSpec, ResumeFrom
from .schema.status import (
    Attempt,
    Charge,
    Checkpoint,
    Condition,
    DataSummary,
    EndReason,
    Failure,
    FailureClass,
    Figures,
    JobStatus,
    Phase,
    PreparationFigures,
    Progress,
    Resolved,
    Restarts,
    Results,
    Setup,
    SetupStage,
    Waiting,
    Workers,
)
from .schema.training import Packing, Precision, TrainingSpec
from .shape import ModelShape, Task

__all__ = [
    "EDITABLE",
    "FACTS_LIMIT",
    "AdapterSpec",
    "ApiModel",
    "Attempt",
    "BuiltinModel",
    "Charge",
    "Checkpoint",
    "CheckpointSpec",
    "Condition",
    "DataSummary",
    "DatasetSpec",
    "EarlyStoppingSpec",
    "EndReason",
    "Failure",
    "FailureClass",
    "Figures",
    "Headers",
    "IfExists",
    "InspectFile",
    "InvalidJob",
    "InvalidModel",
    "Job",
    "JobFile",
    "JobIdentity",
    "JobSpec",
    "JobStatus",
    "Layout",
    "LifecycleSpec",
    "Metadata",
    "ModelFacts",
    "ModelShape",
    "ModelSpec",
    "OnSpike",
    "Outcome",
    "Packing",
    "ParallelismSpec",
    "Phase",
    "Place",
    "Precision",
    "PreparationFigures",
    "Progress",
    "ProgressReport",
    "ProgressUpdate",
    "Rendezvous",
    "ReportTarget",
    "Resolved",
    "Restarts",
    "Results",
    "ResumeFrom",
    "Rule",
    "Schedule",
    "Setup",
    "SetupStage",
    "SourceSpec",
    "Stage",
    "StoredTensor",
    "Task",
    "TerminationMessage",
    "Time",
    "TokenizerFacts",
    "Toleration",
    "TrainingSpec",
    "Waiting",
    "Weights",
    "WorkerDefaults",
    "Workers",
    "changed",
    "explain",
    "facts_of",
    "layout_of",
    "parse_manifest",
    "parse_spec",
    "shape_of",
    "shape_of_config",
    "task_of",
    "to_rfc3339",
]
