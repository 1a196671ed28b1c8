"""``docs/status.md``: every word that a status or an Event may say, as ``llmtrain explain`` knows it."""

from __future__ import annotations

from llmtrain.render.meanings import CLASSES, CONDITIONS, ENDS, EVENTS, PHASES, WAITS

from .navigation import DOCS

PAGE = DOCS / "status.md"
_HEAD = """# Status: phases, conditions, events and reasons

Generated from `operator/llmtrain/render/meanings.py` by `make generate`.

`llmtrain explain WORD` says the same. `kubectl describe llmjob JOB` shows them; `llmtrain why JOB`
puts them into one paragraph with the evidence and what to do. What a failure is called is in
[failures.md](failures.md), the fields around these words are in [reference.md](reference.md).
"""
_TABLES = (
    ("Phases: `status.phase`", PHASES),
    ("Conditions: `status.conditions[].type`", CONDITIONS),
    ("Why it waits: `status.waiting.reason`", WAITS),
    ("Classes of failures: `status.failure.class`", CLASSES),
    ("Why an attempt was ended: `status.attempts[].reason`", ENDS),
    ("Events", EVENTS),
)


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, table in _TABLES:
        parts.append(f"## {title}\n\n| word | means |\n|---|---|")
        parts += [f"| `{word}` | {text} |" for word, text in table.items()]
        parts.append("")
    return "\n".join(parts)
