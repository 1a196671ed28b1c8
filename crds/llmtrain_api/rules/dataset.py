"""Rules over ``spec.dataset`` and what else they depend on."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.spec import JobSpec


def _evaluates_each_source(spec: JobSpec) -> str | None:
    sources, most = len(spec.dataset.sources), spec.evaluation.max_sequences
    if most >= sources:
        return None
    return (
        f"maxSequences {most} is fewer than the {sources} sources of dataset.mixture; use at least {sources}"
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "!has(self.dataset.mixture) || self.evaluation.maxSequences >= self.dataset.mixture.size()",
        ".evaluation.maxSequences",
        "maxSequences must be at least the number of sources of dataset.mixture",
        _evaluates_each_source,
    ),
)
