"""``docs/failures.md``: the failures that are known by name, for people."""

from __future__ import annotations

from collections.abc import Iterable

from ..failures import (
    COLLECTIVES,
    CONTAINERS,
    ENDED,
    FILES,
    GPUS,
    IMAGES,
    PROGRAM,
    SCHEDULING,
    STORES,
    KnownFailure,
    all_exits,
)

_HEAD = """# Failures that are known by name

Generated from `crds/llmtrain_api/failures` by `make generate`.

`status.failure` tells the class, the rank and node that failed first, the message, and the last lines of the
log. Where the message is one of these, it also has its name in `reason` and what helps in `hint`.
`status.waiting` tells what helps after the words of the scheduler or kubelet.

The class decides what follows: `ConfigError` ends the job, since another attempt would repeat it;
`Infrastructure` starts the gang again from `recovery.maxInfrastructureRestarts`; all others from
`recovery.maxRestarts`. Where no class stands, it is that of any failure of its kind.
"""
_PARTS: tuple[tuple[str, tuple[KnownFailure, ...]], ...] = (
    ("GPUs", GPUS),
    ("Between ranks", COLLECTIVES),
    ("The hub and buckets", STORES),
    ("Files and volumes", FILES),
    ("The program", PROGRAM),
    ("Images", IMAGES),
    ("Containers and volumes of a pod", CONTAINERS),
    ("Scheduling", SCHEDULING),
    ("Pods that were ended", ENDED),
)


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, table in _PARTS:
        parts.append(_table(title, "the text matches", ((_code(one.pattern), one) for one in table)))
    parts.append(_table("Exit codes", "the process ended by", all_exits()))
    return "\n".join(parts)


def _table(title: str, column: str, rows: Iterable[tuple[str, KnownFailure]]) -> str:
    lines = [f"## {title}\n", f"| reason | class | {column} | hint |", "|---|---|---|---|"]
    for how, known in rows:
        kind = known.failure_class.value if known.failure_class else ""
        lines.append(f"| {known.name} | {kind} | {how} | {_cell(known.hint)} |")
    return "\n".join(lines) + "\n"


def _code(pattern: str) -> str:
    return f"`{_cell(pattern)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
