"""What can go wrong, each as one sentence with the fix, and the exit code that a program ends with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class LlmtrainError(Exception):
    """Something that a person can do something about.

    Attributes:
        exit_code: what ``llmtrain`` ends with.
    """

    exit_code = 1


class Failed(LlmtrainError):
    """What was asked for was tried, and it failed; or the job that was waited for did."""


class Mistake(LlmtrainError):
    """The command, the manifest or a value in it is wrong: one line a mistake.

    Attributes:
        mistakes: the lines.
    """

    exit_code = 2

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class AlreadyThere(Mistake):
    """There is a job of that name."""


class Unsupported(Mistake):
    """That cannot be had of this backend."""


class NotFound(LlmtrainError):
    """There is no such job, field or reason."""

    exit_code = 3


class Unreachable(LlmtrainError):
    """No API server, or one that does not know our objects."""

    exit_code = 4


class Forbidden(LlmtrainError):
    """The API server knows us and says no, or does not know us."""

    exit_code = 5


class TimedOut(LlmtrainError):
    """What was waited for did not come in time."""

    exit_code = 6


EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "done"),
    (Failed.exit_code, "failed, or the job did"),
    (Mistake.exit_code, "a mistake in the command or the manifest; nothing was changed"),
    (NotFound.exit_code, "no such job, field or reason"),
    (Unreachable.exit_code, "no cluster answers, or it has no LLMTrainingJob"),
    (Forbidden.exit_code, "the cluster does not allow it"),
    (TimedOut.exit_code, "not within the time that was given"),
    (75, "of run: stopped with a checkpoint, and the same command goes on"),
)
"""Every exit code and what it means."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean A or B?``, or nothing where nothing is near."""
    near: Sequence[str] = get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""
