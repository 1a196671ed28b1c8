"""Why an attempt failed, from what its ranks left behind."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, replace

from llmtrain_api import FailureClass

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
_MEMORY = ("out of memory", "cannot allocate memory", "defaultcpuallocator: can't allocate")
_TOO_FEW = re.compile(
    r"Timed out after (?P<seconds>\d+) seconds waiting for clients\. (?P<joined>\d+)/\d+ clients"
)
_NO_MASTER = re.compile(r"DistNetworkError: The client socket has (timed out|failed)")
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
    """The root cause, in the words of the contract."""

    failure_class: FailureClass
    message: str
    hint: str = ""
    rank: int | None = None
    exit_code: int | None = None
    cascade: bool = False
    log_tail: str = ""

    def with_tail(self, text: str) -> Verdict:
        """The same with the last lines of a log."""
        return replace(self, log_tail=text)


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
        return Verdict(
            FailureClass.UNKNOWN, f"torchrun was {_signal(torchrun_code)}", exit_code=torchrun_code
        )
    if ends:
        return Verdict(
            FailureClass.UNKNOWN, f"rank {ends[0].rank} was stopped from outside",
            rank=ends[0].rank, exit_code=ends[0].exit_code, cascade=True, log_tail=ends[0].log_tail,
        )  # fmt: skip
    return Verdict(FailureClass.UNKNOWN, f"torchrun ended with exit code {torchrun_code}", cascade=True)


def _judge(end: RankEnd) -> Verdict:
    if not end.kind:
        message = f"rank {end.rank} was {_signal(end.exit_code)}"
        if end.exit_code is not None and end.exit_code >= 0:
            message = f"rank {end.rank} ended with exit code {end.exit_code}"
        hint = "raise resources.memory if the node ran out of it" if end.exit_code == -9 else ""
        return Verdict(FailureClass.UNKNOWN, message, hint, end.rank, end.exit_code, False, end.log_tail)
    failure_class, hint = classify(end.kind, end.message)
    return Verdict(
        failure_class,
        f"{end.kind}: {end.message}",
        end.hint or hint,
        end.rank,
        end.exit_code,
        False,
        end.log_tail,
    )


def classify(kind: str, message: str) -> tuple[FailureClass, str]:
    """Class and hint of an exception by its type and text."""
    if kind == "ConfigError":
        return FailureClass.CONFIG_ERROR, ""
    if kind == "DivergedError":
        return FailureClass.DIVERGED, ""
    if kind in ("MemoryError", "OutOfMemoryError") or any(sign in message.lower() for sign in _MEMORY):
        hint = "lower training.microBatchSize or training.sequenceLength, or raise resources.memory"
        return FailureClass.OUT_OF_MEMORY, hint
    return FailureClass.USER_ERROR, ""


def _signal(code: int | None) -> str:
    number = -(code or 0)
    if number == signal.SIGKILL:
        return "killed by signal 9 (out of memory or kill -9)"
    try:
        return f"killed by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"killed by signal {number}"
