"""Endings that the trainer chooses itself; everything else is a failure of the code or of the machine."""

from __future__ import annotations


class ConfigError(Exception):
    """Nothing that a retry could help.

    Attributes:
        message: what is wrong, with the field or folder named.
        hint: what would be right.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str]]:
        """As it goes from one process to another."""
        return type(self), (self.message, self.hint)


class Fenced(Exception):
    """A newer attempt, or another job, owns the output: this writer must stop without writing."""


class OutputTaken(Fenced):
    """Another job owns the output now. No attempt of this job can ever write again."""


class Interrupted(Exception):
    """SIGTERM was agreed on by all ranks, and the state is saved."""


class SaveFailed(Exception):
    """The disk refused too many checkpoints in a row, or the last one."""


class ExportMismatch(Exception):
    """What was written is not, or does not compute, what was trained."""


class DivergedError(Exception):
    """Training has diverged; from the same checkpoint it would diverge again, so the job is over.

    Attributes:
        message: the step, and what was seen in it.
        hint: what to change before the job is started again.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}; {hint}")
        self.message = message
        self.hint = hint
