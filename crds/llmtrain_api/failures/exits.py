"""What an exit code means where a process could not say anything itself."""

from __future__ import annotations

import signal

from ..schema.status import FailureClass
from .known import KnownFailure

_BY_SIGNAL = {
    signal.SIGKILL: ("Killed", "raise resources.memory if the node ran out of it"),
    signal.SIGSEGV: (
        "Crashed",
        "native code crashed: run with training.compile: false; if one node does it again and again, its "
        "memory may be faulty",
    ),
    signal.SIGBUS: (
        "BusError",
        "memory that was promised is not there: shared memory is full (raise resources.memory), or a "
        "file was "
        "cut short while it was read",
    ),
    signal.SIGILL: (
        "InstructionMissing",
        "the image's code is built for a newer CPU than this node's: choose other nodes by nodeSelector",
    ),
    signal.SIGABRT: ("Aborted", "native code gave up: the reason stands in the log tail"),
    signal.SIGFPE: ("ArithmeticFault", "native code divided by zero: the log tail shows where"),
}
_BY_CODE = {
    126: ("NotExecutable", "the image's command cannot be run: is the image built for this kind of CPU?"),
    127: ("NoSuchCommand", "the image has no such command: is it a trainer's image (spec.image)?"),
}


def of_exit(code: int) -> KnownFailure | None:
    """What is known of a process that ended so: a negative code, or 128 and more, is a signal."""
    number = -code if code < 0 else code - 128
    found = _BY_SIGNAL.get(signal.Signals(number)) if number in set(signal.Signals) else None
    found = found or _BY_CODE.get(code)
    if found is None:
        return None
    config = FailureClass.CONFIG_ERROR if code in _BY_CODE else None
    return KnownFailure(found[0], "", found[1], config)


def all_exits() -> list[tuple[str, KnownFailure]]:
    """Every exit that something is known of, with how it is written."""
    codes = [(f"signal {number.value} ({number.name})", -number.value) for number in _BY_SIGNAL]
    codes += [(f"exit code {code}", code) for code in _BY_CODE]
    return [(text, known) for text, code in codes if (known := of_exit(code))]
