"""``status`` of an LLMTrainingJob: what the object itself answers."""

from .adapters import AdapterResult
from .answers import AnswersResult
from .attempt import (
    MAX_AVOIDED_NODES,
    Attempt,
    Charge,
    EndReason,
    Failure,
    FailureClass,
    Restarts,
    Workers,
)
from .conditions import Condition, ConditionType
from .job import MAX_ATTEMPTS, JobStatus, Phase, Resolved, Waiting
from .measured import DatasetResult, ScoresResult, SourceResult, TaskFigure, TasksResult
from .notification import MAX_NOTIFICATIONS, MAX_TOLD, Notification, NotificationState
from .origin import Origin
from .placement import Placement
from .progress import (
    Checkpoint,
    Figures,
    PreparationFigures,
    Progress,
    ReinforcementFigures,
    RewardFigure,
)
from .results import (
    DataSummary,
    KtoResult,
    PreferenceResult,
    PublishedResult,
    ReinforcementResult,
    Results,
)
from .runtime import RuntimeOnRecord
from .setup import Setup, SetupStage
from .usage import Usage
from .values import MAX_COUNT, MAX_FIGURE, Count, ExitCode, Figure, LongText, Rate, Text

__all__ = [
    "MAX_ATTEMPTS",
    "MAX_AVOIDED_NODES",
    "MAX_COUNT",
    "MAX_FIGURE",
    "MAX_NOTIFICATIONS",
    "MAX_TOLD",
    "AdapterResult",
    "AnswersResult",
    "Attempt",
    "Charge",
    "Checkpoint",
    "Condition",
    "ConditionType",
    "Count",
    "DataSummary",
    "DatasetResult",
    "EndReason",
    "ExitCode",
    "Failure",
    "FailureClass",
    "Figure",
    "Figures",
    "JobStatus",
    "KtoResult",
    "LongText",
    "Notification",
    "NotificationState",
    "Origin",
    "Phase",
    "Placement",
    "PreferenceResult",
    "PreparationFigures",
    "Progress",
    "PublishedResult",
    "Rate",
    "ReinforcementFigures",
    "ReinforcementResult",
    "Resolved",
    "Restarts",
    "Results",
    "RewardFigure",
    "RuntimeOnRecord",
    "ScoresResult",
    "Setup",
    "SetupStage",
    "SourceResult",
    "TaskFigure",
    "TasksResult",
    "Text",
    "Usage",
    "Waiting",
    "Workers",
]
