"""Why an attempt failed, from what its ranks left behind."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, replace
from typing import NamedTuple

from llmtrain_api import FailureClass, WaitsIn
from llmtrain_api.failures import COLLECTIVES, GPUS, PROCESSES, PROGRAM, first, of_exit

_ECHOES = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "connectfullmesh failed",
    "broken pipe",
    "socket closed",
    "remote process exited",
    "store->get",
    "recvvalue failed",
    "nccl communicator was aborted",
)
_TOO_FEW = re.compile(
    r"Timed out after (?P<seconds>\d+) seconds waiting for clients\. (?P<joined>\d+)/\d+ clients"
)
_NO_MASTER = re.compile(r"DistNetworkError: The client socket has (timed out|failed)")
_EXCEPTION = re.compile(
    r"^(\w+\.)*(?P<kind>[A-Z]\w{0,60}(Error|Exception|Exit)): (?P<message>.{0,1000})$", re.MULTILINE
)
"""How Python ends a traceback: of a rank that could not write its record, for want of files or of rights."""
_TORCHRUN_RANK = re.compile(
    r"rank\s*:\s*(?P<rank>\d+) \(local_rank: \d+\)\s*\n\s*exitcode\s*:\s*(?P<code>-?\d+)", re.MULTILINE
)


@dataclass(frozen=True)
class RankEnd:
    """How one rank ended.

    Attributes:
        rank: global rank.
        exit_code: as torchrun saw it; negative = signal; None = not known.
        time: when it said so itself, seconds since the epoch; None = it could not.
        kind: type of the exception.
        message: text of the exception.
        hint: what to do, where the exception knows.
        log_tail: traceback or last lines.
    """

    rank: int
    exit_code: int | None = None
    time: float | None = None
    kind: str = ""
    message: str = ""
    hint: str = ""
    log_tail: str = ""


@dataclass(frozen=True)
class Verdict:
    """The root cause, in the words of the contract.

    Attributes:
        reason: name of a known failure.
        waits_in: the collective operation that the rank is held up in.
    """

    failure_class: FailureClass
    message: str
    hint: str = ""
    rank: int | None = None
    exit_code: int | None = None
    cascade: bool = False
    log_tail: str = ""
    reason: str = ""
    waits_in: WaitsIn | None = None

    def with_tail(self, text: str) -> Verdict:
        """The same with the last lines of a log."""
        return replace(self, log_tail=text)


class Cause(NamedTuple):
    """What kind of failure something is, what helps, and the name of a known one."""

    failure_class: FailureClass
    hint: str = ""
    reason: str = ""


def exit_codes(torchrun_log: str) -> dict[int, int]:
    """Exit code of each rank that torchrun's closing summary names."""
    return {int(m["rank"]): int(m["code"]) for m in _TORCHRUN_RANK.finditer(torchrun_log)}


def rendezvous_failure(torchrun_log: str, nodes: int) -> Verdict | None:
    """Whether torchrun gave up waiting for other nodes before any rank ran: no failure of the code."""
    match = _TOO_FEW.search(torchrun_log)
    if match:
        met = f"{match['joined']} of {nodes} nodes joined within {match['seconds']} s"
    elif nodes > 1 and (match := _NO_MASTER.search(torchrun_log)):
        met = "node 0 could not be reached"
    else:
        return None
    hint = "see why the pods of the other nodes do not run"
    return Verdict(FailureClass.INFRASTRUCTURE, f"torchrun did not meet its gang: {met}", hint, cascade=True)


def told_by_python(log_tail: str) -> tuple[str, str]:
    """The type and the text of the exception that a log ends with; empty where there is none."""
    found = list(_EXCEPTION.finditer(log_tail))
    return (found[-1]["kind"], found[-1]["message"]) if found else ("", "")


def is_echo(end: RankEnd) -> bool:
    """Whether a rank only felt another one's end: its connection closed, or torchrun stopped it."""
    if end.kind:
        return any(sign in end.message.lower() for sign in _ECHOES)
    return end.exit_code in (None, -signal.SIGTERM)


def root_cause(ends: list[RankEnd], torchrun_code: int | None = None) -> Verdict:
    """The rank that failed first of its own, or the first echo when the cause is on another node.

    Args:
        ends: ranks of this node that did not succeed.
        torchrun_code: how torchrun itself ended, for when no rank says anything.
    """
    own = [end for end in ends if not is_echo(end)]
    # A killed rank has no time and comes first: torchrun names only what it saw fail before it stopped the
    # others, and whoever could still write a time felt that death or failed later.
    chosen = sorted(own, key=lambda end: (end.time or 0.0, end.rank))
    if chosen:
        return _judge(chosen[0])
    reported = sorted((end for end in ends if end.kind), key=lambda end: end.time or 0.0)
    if reported:
        first = reported[0]
        return Verdict(
            FailureClass.UNKNOWN, f"{first.kind}: {first.message}", "the cause is on another node",
            first.rank, first.exit_code, True, first.log_tail,
        )  # fmt: skip
    if torchrun_code is not None and torchrun_code < 0:
        cause = of_end(torchrun_code)
        return Verdict(
            cause.failure_class, f"torchrun was {_signal(torchrun_code)}", cause.hint,
            exit_code=torchrun_code, reason=cause.reason,
        )  # fmt: skip
    if ends:
        return Verdict(
            FailureClass.UNKNOWN, f"rank {ends[0].rank} was stopped from outside",
            rank=ends[0].rank, exit_code=ends[0].exit_code, cascade=True, log_tail=ends[0].log_tail,
        )  # fmt: skip
    return Verdict(FailureClass.UNKNOWN, f"torchrun ended with exit code {torchrun_code}", cascade=True)


def _judge(end: RankEnd) -> Verdict:
    said = _EXCEPTION.search(end.log_tail) if not end.kind and (end.exit_code or 0) > 0 else None
    if said is not None:
        message = f"rank {end.rank} ended with exit code {end.exit_code}: {said[0]}"
        cause = classify(said["kind"], said["message"])
    elif not end.kind:
        message = f"rank {end.rank} was {_signal(end.exit_code)}"
        if end.exit_code is not None and end.exit_code >= 0:
            message = f"rank {end.rank} ended with exit code {end.exit_code}"
        cause = of_end(end.exit_code, end.log_tail)
    else:
        message = f"{end.kind}: {end.message}"
        cause = classify(end.kind, end.message)
    return Verdict(
        cause.failure_class,
        message,
        end.hint or cause.hint,
        end.rank,
        end.exit_code,
        False,
        end.log_tail,
        cause.reason,
    )


def classify(kind: str, message: str) -> Cause:
    """What an exception is, by its type and text."""
    if kind == "ConfigError":
        return Cause(FailureClass.CONFIG_ERROR)
    if kind == "DivergedError":
        return Cause(FailureClass.DIVERGED)
    known = first(PROCESSES, f"{kind}: {message}")
    if known is None:
        return Cause(FailureClass.USER_ERROR)
    return Cause(known.failure_class or FailureClass.USER_ERROR, known.hint, known.name)


def of_end(code: int | None, log_tail: str = "") -> Cause:
    """What the end of a process is that left no exception.

    Args:
        code: its exit code; negative = signal; None = not known.
        log_tail: its last lines. Native code that aborts tells why in them; of others they may be anything.
    """
    known = first((*GPUS, *COLLECTIVES, *PROGRAM), log_tail) if code == -signal.SIGABRT else None
    known = known or (None if code is None else of_exit(code))
    if known is None:
        return Cause(FailureClass.UNKNOWN)
    return Cause(known.failure_class or FailureClass.UNKNOWN, known.hint, known.name)


def _signal(code: int | None) -> str:
    number = -(code or 0)
    if number == signal.SIGKILL:
        return "killed by signal 9 (out of memory or kill -9)"
    try:
        return f"killed by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"killed by signal {number}"
