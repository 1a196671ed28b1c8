"""Applies the steps on single texts that a job asks for, and counts what each of them did."""

from __future__ import annotations

from collections.abc import Sequence

from llmtrain_api import JobSpec

from ..reading.counts import ReadCounts
from . import asked
from .step import Cleaner, Dropped

Row = tuple[str, Cleaner]


class Pipeline:
    """The steps of one job, made once for many documents.

    Args:
        spec: the job's.
    """

    def __init__(self, spec: JobSpec) -> None:
        steps = [(step, (step.name, step.cleaner(settings))) for step, settings in asked(spec)]
        self._changes: list[Row] = [row for step, row in steps if not step.judges]
        self._judges: list[Row] = [row for step, row in steps if step.judges]

    def text(self, text: str, counts: ReadCounts) -> str | None:
        """A document of one text, cleaned; None where it is dropped."""
        cleaned = self.messages([text], counts)
        return None if cleaned is None else cleaned[0]

    def messages(self, texts: Sequence[str], counts: ReadCounts) -> list[str] | None:
        """A document of several texts, each cleaned on its own and all of them judged as one.

        Args:
            texts: such as the messages of a dialogue.
            counts: documents by what was done with them, and what was found in them.

        Returns:
            As many texts; None where the document is dropped.
        """
        now = list(texts)
        changed = False
        for name, clean in self._changes:
            before, now = now, []
            for text in before:
                result = clean(text, counts.found)
                if isinstance(result, Dropped):
                    counts.cleaned[_reason(name, result)] += 1
                    return None
                now.append(result)
            if now != before:
                counts.changed[name] += 1
                changed = True
        whole = now[0] if len(now) == 1 else "\n\n".join(now)
        for name, judge in self._judges:
            result = judge(whole, counts.found)
            if isinstance(result, Dropped):
                counts.cleaned[_reason(name, result)] += 1
                return None
        counts.changed_documents += changed
        return now


def _reason(name: str, dropped: Dropped) -> str:
    return f"{name}.{dropped.reason}" if dropped.reason else name
