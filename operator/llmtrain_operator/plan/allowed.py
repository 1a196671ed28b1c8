"""What a job asks for beyond what this installation lets jobs have."""

from __future__ import annotations

from collections.abc import Callable

from llmtrain_api import JobSpec, NotifySpec, target_of

from ..egress import Egress
from ..types import Allowed, PlanSettings

ASKS: dict[Allowed, Callable[[JobSpec], bool]] = {Allowed.HOST_NETWORK: lambda spec: spec.host_network}

NO_QUEUES = (
    "spec.queueName: this installation has no queues but the operator's own; remove it, or ask whoever runs "
    "the operator to set queue.provider of its chart to kueue or volcano"
)
NO_NOTIFICATIONS = (
    ": this installation sends no notifications; remove it, or ask whoever runs the operator to add the host "
    "to notifications.allow of its chart"
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
    found += [
        f"spec.{field}: an installation must allow it; remove it, or ask whoever runs the operator to add "
        f"{field} to trainer.allow of its chart"
        for field, asks in ASKS.items()
        if asks(spec) and field not in settings.allow
    ]
    whys = (may_not_be_told(receiver, settings.egress) for receiver in spec.notify)
    return found + [f"spec.notify[{number}]{why}" for number, why in enumerate(whys) if why]


def may_not_be_told(receiver: NotifySpec, egress: Egress) -> str | None:
    """Where and why a receiver may not be told, without its URL: who reads this may not read that."""
    if egress.off:
        return NO_NOTIFICATIONS
    if (secret := receiver.url_secret) is not None:
        if egress.everywhere:
            return ".urlSecret: there are no Secrets without a cluster; use url"
        if secret.name in egress.secrets:
            return None
        others = f", or use one of {', '.join(egress.secrets)}" if egress.secrets else ""
        return (
            f".urlSecret.name: the operator may not read the Secret {secret.name}; ask whoever runs it to "
            f"add that name to notifications.secrets of its chart{others}"
        )
    target = target_of(receiver.url or "")
    why = egress.refusal(target) if target is not None else None
    return f".url: {why}" if why else None
