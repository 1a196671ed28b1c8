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


def _one_folder(spec: JobSpec) -> str | None:
    output = spec.output.uri.rstrip("/")
    same = [source.name for source in spec.dataset.sources if source.name.rstrip("/") == output]
    if not same:
        return None
    return (
        f"got {spec.output.uri!r}, which is a folder of spec.dataset too; use another folder for one of them"
    )


def _with_slash(text: str) -> str:
    return f"({text}.endsWith('/') ? {text} : {text} + '/')"


_OUTPUT = _with_slash("self.output.uri")

RULES: tuple[Rule, ...] = (
    Rule(
        "!has(self.dataset.mixture) || self.evaluation.maxSequences >= self.dataset.mixture.size()",
        ".evaluation.maxSequences",
        "maxSequences must be at least the number of sources of dataset.mixture",
        _evaluates_each_source,
    ),
    Rule(
        f"(!has(self.dataset.name) || {_with_slash('self.dataset.name')} != {_OUTPUT}) && "
        f"(!has(self.dataset.mixture) || self.dataset.mixture.all(s, {_with_slash('s.name')} != {_OUTPUT}))",
        ".output.uri",
        "output.uri is a folder of the dataset too; use another folder for one of them",
        _one_folder,
    ),
)
