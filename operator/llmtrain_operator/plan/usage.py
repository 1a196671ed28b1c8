"""How long gangs have run and what that costs, counted from what is on record: no crash counts twice."""

from __future__ import annotations

from llmtrain_api import Charge, JobStatus, Usage, changed

from .situation import Situation


def running_seconds(s: Situation) -> int:
    """Seconds in which the current attempt's gang was wholly up; no clock that is set back lowers them."""
    record = s.this_attempt
    if record.running_at is None or record.ended_at is not None:
        return record.running_seconds
    return max(record.running_seconds, int((s.now - record.running_at).total_seconds()))


def gpus(s: Situation) -> int:
    """GPUs of the gang."""
    each = s.spec.gpus_per_node if s.spec is not None else s.job.spec.get("gpusPerNode", 0)
    return s.nodes * each if isinstance(each, int) else 0


def used(s: Situation) -> Usage:
    """All that was used up to this moment."""
    known = s.status.usage or Usage()
    more = running_seconds(s) - s.this_attempt.running_seconds
    return priced(
        s,
        changed(
            known,
            running_seconds=known.running_seconds + more,
            gpu_seconds=known.gpu_seconds + more * gpus(s),
        ),
    )


def priced(s: Situation, usage: Usage) -> Usage:
    """With what it costs, where the installation gives a price."""
    price = s.seen.settings.gpu_hour_price
    if price is None or not gpus(s):
        return changed(usage, cost=None, currency=None)
    cost = round(usage.gpu_seconds / 3600 * price, 2)
    return changed(usage, cost=cost, currency=s.seen.settings.currency or None)


def with_usage(s: Situation, status: JobStatus) -> JobStatus:
    """The status with what was used up to this moment, in the attempt's record and in the sum."""
    record = changed(status.attempts[-1], running_seconds=running_seconds(s))
    return changed(status, attempts=[*status.attempts[:-1], record], usage=used(s))


def with_waste(s: Situation, status: JobStatus) -> JobStatus:
    """The same at the end of an attempt, with what of it is computed once more."""
    status = with_usage(s, status)
    record, saved = status.attempts[-1], status.checkpoint
    done = record.charge is Charge.NOBODY and record.reason is None and record.failure_class is None
    if done or record.running_at is None or status.usage is None:
        return status
    since = record.running_at
    if saved is not None and saved.time is not None:
        since = max(since, saved.time)
    lost = min(max(int((s.now - since).total_seconds()), 0), record.running_seconds)
    wasted = status.usage.wasted_gpu_seconds + lost * gpus(s)
    return changed(status, usage=changed(status.usage, wasted_gpu_seconds=wasted))
