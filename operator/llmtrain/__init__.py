"""Jobs of ``llmtrain.dev/v1alpha1`` from Python: `Client`, and the contract's own types.

>>> from llmtrain import Client
>>> client = Client()
>>> client.train("job.yaml")
>>> client.wait_for_job_status("helpdesk").status.results.perplexity

Names are looked up when they are first used, so that ``llmtrain --help`` need not load what a job is.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmtrain_api import Job, JobSpec, JobStatus, Phase

    from .client import Client
    from .errors import (
        AlreadyThere,
        Failed,
        Forbidden,
        LlmtrainError,
        Mistake,
        NotFound,
        TimedOut,
        Unreachable,
        Unsupported,
    )
    from .values import Event, LogLine

_HOMES = {
    "Client": "llmtrain.client",
    "Event": "llmtrain.values",
    "LogLine": "llmtrain.values",
    **dict.fromkeys(("Job", "JobSpec", "JobStatus", "Phase"), "llmtrain_api"),
    **dict.fromkeys(
        (
            "AlreadyThere",
            "Failed",
            "Forbidden",
            "LlmtrainError",
            "Mistake",
            "NotFound",
            "TimedOut",
            "Unreachable",
            "Unsupported",
        ),
        "llmtrain.errors",
    ),
}

__all__ = [
    "AlreadyThere",
    "Client",
    "Event",
    "Failed",
    "Forbidden",
    "Job",
    "JobSpec",
    "JobStatus",
    "LlmtrainError",
    "LogLine",
    "Mistake",
    "NotFound",
    "Phase",
    "TimedOut",
    "Unreachable",
    "Unsupported",
]


def __getattr__(name: str) -> Any:
    """The public name, from where it is defined."""
    if name not in _HOMES:
        raise AttributeError(f"module 'llmtrain' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
