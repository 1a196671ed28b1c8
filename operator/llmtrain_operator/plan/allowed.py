"""What a job asks for beyond what this installation lets jobs have."""

from __future__ import annotations

from collections.abc import Callable

from llmtrain_api import JobSpec

from ..types import Allowed, PlanSettings

ASKS: dict[Allowed, Callable[[JobSpec], bool]] = {Allowed.HOST_NETWORK: lambda spec: spec.host_network}

NO_QUEUES = (
    "spec.queueName: this installation has no queues but the operator's own; remove it, or ask whoever runs "
    "the operator to set queue.provider of its chart to kueue or volcano"
)


def _has_queues(settings: PlanSettings) -> bool:
    """On a laptop nobody queues, whatever the job says."""
    return settings.file_outputs or settings.provider.has_queues


def not_allowed(spec: JobSpec, settings: PlanSettings) -> list[str]:
    """A sentence for each thing that whoever installed the operator has not allowed.

    Args:
        spec: the job.
        settings: of the installation.
    """
    found = [] if spec.queue_name is None or _has_queues(settings) else [NO_QUEUES]
    return found + [
        f"spec.{field}: an installation must allow it; remove it, or ask whoever runs the operator to add "
        f"{field} to trainer.allow of its chart"
        for field, asks in ASKS.items()
        if asks(spec) and field not in settings.allow
    ]
