"""Why a job does not run yet: our own refused write first, then the scheduler, then the kubelet."""

from __future__ import annotations

from llmtrain_api import JobStatus, Phase, Waiting
from llmtrain_api.failures import PODS, first

from ..types import Pod, PodPhase, PodWord, Refusal, RefusalKind
from .debug_hold import held_for_debugging
from .secrets import masked
from .situation import Situation

NAMED_PODS = 3
PREPARING = ("ContainerCreating", "PodInitializing")
MOUNTING = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")
"""Reasons of a pod's Events that tell why it is being set up for long: its status does not."""
LOOK_AGAIN_SECONDS = 15.0


def waiting(s: Situation) -> Waiting | None:
    """What is waited for, and since when; None when nothing is in the way."""
    stopping = s.attempt is not None and s.this_attempt.stopping_at is not None
    if stopping or s.status.phase in (Phase.SUSPENDING, Phase.QUEUED):
        # of the queue it is told by itself, and what is given back meanwhile goes by itself
        return s.status.waiting
    found = _reason(s)
    return None if found is None else waiting_for(s, *found)


def waiting_for(s: Situation, reason: str, message: str) -> Waiting:
    """That reason; since when it is the reason is kept."""
    reason, message = reason[:256], message[:4096]
    old = s.status.waiting
    since = old.since if old is not None and old.reason == reason and old.since is not None else s.now
    return Waiting(reason=reason, message=message, since=since)


def _reason(s: Situation) -> tuple[str, str] | None:
    refusal = s.seen.refusal
    no_room = refusal is not None and refusal.kind is RefusalKind.QUOTA
    if s.stale and not no_room:
        # what is given back for want of room goes by itself: the quota is what is waited for
        return "OldPodsTerminating", _old_pods(s)
    if s.twins:
        return "TwoPodsOfOneRank", f"two pods are known as {', '.join(s.twins)}: one of them must be a memory"
    creating = s.created_at is None
    if creating and refusal is not None and _is_told(refusal):
        hint = f" ({refusal.hint})" if refusal.hint else ""
        return refusal.kind.value, f"{refusal.message}{hint}"
    if creating and s.spec is None:
        mistakes = "; ".join(s.mistakes)
        return "SpecNotReadable", f"this operator cannot read the spec of a job that has begun: {mistakes}"
    return held_for_debugging(s) or held(s) or _silent(s)


def _is_told(refusal: Refusal) -> bool:
    """What passes by itself is told from the second time on; a refused deletion, where pods are to go."""
    if refusal.kind is RefusalKind.UNAVAILABLE:
        return refusal.repeated
    return refusal.kind is not RefusalKind.DELETION


def _old_pods(s: Situation) -> str:
    """By name: whoever waits wants to know for which pod, and where it is."""
    named = [f"{p.name} on {_node(p)}" for p in s.stale[:NAMED_PODS]]
    more = len(s.stale) - len(named)
    rest = f" and {more} more" if more else ""
    silent = sorted({p.node for p in s.stale if p.node_silent and p.node})
    why = f"; node {', '.join(silent)} does not answer" if silent else ""
    refusal = s.seen.refusal
    if refusal is not None and refusal.kind is RefusalKind.DELETION:
        why += f"; the API server does not delete them: {refusal.message}"
    seconds = s.seen.settings.lost_node_seconds
    return (
        f"{len(s.stale)} earlier pods are not gone yet: {', '.join(named)}{rest}{why}; "
        f"what is there {seconds}s after its grace time is removed by force"
    )


def held(s: Situation) -> tuple[str, str] | None:
    """What the scheduler or the kubelet says of a pod that does not run."""
    held = [p for p in s.current.values() if p.hold is not None and p.phase is PodPhase.PENDING]
    if not held:
        return None
    word = s.seen.word
    pod = min(held, key=lambda p: (_is_set_up(p, word), p.rank))
    assert pod.hold is not None
    reason, message = pod.hold
    if word is not None and word.pod_uid == pod.uid and reason in PREPARING:
        reason, message = word.reason, masked(word.message)
    if reason in PREPARING:
        message = (
            f"{message}: its image is pulled and its volumes are mounted on {_node(pod)}; if it lasts, the "
            f"reason is in: kubectl describe pod {pod.name} -n {pod.namespace}"
        )
    elif known := first(PODS, f"{reason}: {message}"):
        message = f"{message} ({known.hint})"
    return reason, f"pod {pod.name}: {message}"


def _is_set_up(pod: Pod, word: PodWord | None) -> bool:
    """Whether nobody says more of a pod than that its node is at it."""
    told = word is not None and word.pod_uid == pod.uid
    return pod.hold is not None and pod.hold[0] in PREPARING and not told


def seconds_to_word(status: JobStatus) -> float | None:
    """When to look again at a pod that is being set up: no change of it would wake anybody."""
    found = status.waiting
    return LOOK_AGAIN_SECONDS if found is not None and found.reason in (*PREPARING, *MOUNTING) else None


def _silent(s: Situation) -> tuple[str, str] | None:
    silent = [p for p in s.current.values() if p.node_silent and not p.terminal]
    if not silent:
        return None
    named = ", ".join(f"{p.name} on {_node(p)}" for p in silent[:NAMED_PODS])
    seconds = s.seen.settings.unreachable_seconds
    return "NodeNotReady", f"no answer from the node of {named}; pods are evicted from it after {seconds}s"


def _node(pod: Pod) -> str:
    return f"node {pod.node}" if pod.node else "no node yet"
