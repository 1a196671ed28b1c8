"""The contract of ``llmtrain.dev/v1alpha1``: the only definition of a field, for every other part."""

from .errors import explain
from .job import InvalidJob, Job, Metadata, parse_manifest, parse_spec
from .layouts.layout import Layout, Place
from .messages import (
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
from .schema.base import ApiModel, Rule, Time, changed, to_rfc3339
from .schema.dataset import DatasetSpec, SourceSpec
from .schema.model import BuiltinModel, ModelSpec, Task
from .schema.optimization import EarlyStoppingSpec, OnSpike, Schedule
from .schema.spec import CheckpointSpec, IfExists, JobSpec, ParallelismSpec, ResumeFrom
from .schema.status import (
    Attempt,
    Checkpoint,
    Condition,
    Failure,
    FailureClass,
    Figures,
    JobStatus,
    Phase,
    Progress,
    Resolved,
    Restarts,
    Results,
    Waiting,
    Workers,
)
from .schema.training import Packing, Precision, TrainingSpec

__all__ = [
    "ApiModel",
    "Attempt",
    "BuiltinModel",
    "Checkpoint",
    "CheckpointSpec",
    "Condition",
    "DatasetSpec",
    "EarlyStoppingSpec",
    "Failure",
    "FailureClass",
    "Figures",
    "IfExists",
    "InvalidJob",
    "Job",
    "JobFile",
    "JobIdentity",
    "JobSpec",
    "JobStatus",
    "Layout",
    "Metadata",
    "ModelSpec",
    "OnSpike",
    "Outcome",
    "Packing",
    "ParallelismSpec",
    "Phase",
    "Place",
    "Precision",
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
    "SourceSpec",
    "Stage",
    "Task",
    "TerminationMessage",
    "Time",
    "TrainingSpec",
    "Waiting",
    "Workers",
    "changed",
    "explain",
    "parse_manifest",
    "parse_spec",
    "to_rfc3339",
]
