"""Ids of the trace of an attempt: they follow from the job's UID and the attempt's number, so that pods, and
every operator, know them without asking. Pure."""

from __future__ import annotations

from hashlib import sha256

ROOT = "start of an attempt"
"""Name of the span that holds all others."""
ENV_TRACEPARENT = "TRACEPARENT"


def trace_id(uid: str, attempt: int) -> int:
    """The trace's id, 16 bytes."""
    return _number(f"{uid}/{attempt}", 16)


def span_id(uid: str, attempt: int, name: str = ROOT) -> int:
    """The id of a span, 8 bytes."""
    return _number(f"{uid}/{attempt}/{name}", 8)


def traceparent(uid: str, attempt: int) -> str:
    """What a program of the attempt names as the parent of its own spans, as W3C Trace Context has it."""
    return f"00-{trace_id(uid, attempt):032x}-{span_id(uid, attempt):016x}-01"


def _number(text: str, size: int) -> int:
    # zero is no id
    return int.from_bytes(sha256(text.encode()).digest()[:size]) or 1
