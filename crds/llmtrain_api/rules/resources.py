"""Rules over ``spec.resources``."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.quantity import quantity
from ..schema.spec import JobSpec


def _limit_below_request(spec: JobSpec) -> str | None:
    asked, limit = spec.resources.cpu, spec.resources.cpu_limit
    if limit is None or quantity(limit) >= quantity(asked):
        return None
    return f"got {limit}, below resources.cpu {asked}; raise it to at least that, or lower resources.cpu"


RULES: tuple[Rule, ...] = (
    # CEL cannot see quantities: they have no type of OpenAPI
    Rule(None, ".resources.cpuLimit", "must be at least resources.cpu", _limit_below_request),
)
