"""Pieces of CEL that rules share.

What a rule costs the API server is its look-ups: for each it copies the schemas of all fields beside the one
that is asked for. So a rule begins with what decides it for most jobs, and asks once, by `bound`, for what it
needs more than once.
"""

from __future__ import annotations

from collections.abc import Iterable


def bound(name: str, value: str, cel: str) -> str:
    """CEL in which a name stands for a value that is looked up once.

    Args:
        name: the variable.
        value: CEL of what it stands for.
        cel: true or false, over the variable; of a variable's texts, lists and maps the API server does not
            know how long they may be, and refuses a rule that walks through them.
    """
    return f"[{value}].all({name}, {cel})"


def task_in(tasks: Iterable[str]) -> str:
    """CEL over a spec: it names one of these tasks."""
    return f"(has(self.task) && self.task in {[str(task) for task in tasks]})"


UNCUT = bound("p", "self.parallelism", "p.tensor == 1 && p.pipeline == 1 && p.sequence == 1")
"""CEL over a spec: its layout cuts nothing but the data."""
