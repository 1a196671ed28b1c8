"""``spec.adapters`` of an LLMTrainingSweep: many adapters over one base, each with data of its own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from .base import ApiModel, Rule
from .status.runtime import ANY

MAX_ADAPTERS = 256
RESERVED = ("base", "cache")
"""Names that an adapter may not have: what is served without one, and the folder of prepared data."""


class SweepAdapter(ApiModel):
    """One adapter of many: its name, and what differs of its job."""

    name: str = Field(
        min_length=1,
        max_length=50,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Of the adapter, of its folder in output.uri and, after the sweep's name and '-', of its "
        "job; it is served by this name.",
    )
    dataset: Annotated[dict[str, Any], ANY] = Field(
        description="Its dataset. Fields that job.dataset has, and this has not, are of it too."
    )
    training: Annotated[dict[str, Any], ANY] | None = Field(
        default=None, description="Fields of training that differ from those of job.training."
    )


def _names(spec: Any) -> str | None:
    names = [one.name for one in spec.adapters or []]
    for name in names:
        if name in RESERVED:
            return f"{name!r} has a meaning of its own where adapters are kept and served; use another name"
        if names.count(name) > 1:
            return f"the name {name!r} stands twice; give each adapter a name of its own"
    return None


def _either(spec: Any) -> str | None:
    if bool(spec.parameters) != bool(spec.adapters):
        return None
    if spec.adapters:
        return (
            "has both parameters and adapters: a sweep tries values, or trains an adapter for each dataset; "
            "remove one of the two"
        )
    return "needs parameters (values to try) or adapters (each with its dataset); set one of the two"


def _nothing_tried(spec: Any) -> str | None:
    if not spec.adapters:
        return None
    said = {
        "search": spec.search != "grid",
        "trials": spec.trials is not None,
        "halving": spec.halving is not None,
        "objective": (spec.objective.metric, spec.objective.goal) != ("evalLoss", None),
    }
    found = [name for name, there in said.items() if there]
    if not found:
        return None
    many = "it" if len(found) == 1 else "them"
    return (
        f"{', '.join(found)} beside adapters, each of which is trained, and none is the best; remove {many}"
    )


_PLAIN = (
    "self.search == 'grid' && !has(self.trials) && !has(self.halving) && self.objective.metric == 'evalLoss' "
    "&& !has(self.objective.goal)"
)
ADAPTER_RULES = (
    # over a SweepSpec, whose file imports this one
    Rule(
        "has(self.parameters) != has(self.adapters)",
        "",
        "a sweep has either parameters (values to try) or adapters (each with its dataset)",
        _either,
    ),
    Rule(
        "!has(self.adapters) || self.adapters.all(a, self.adapters.exists_one(b, b.name == a.name) && "
        f"!(a.name in {list(RESERVED)}))",
        ".adapters",
        f"each adapter needs a name of its own, and none may be {' or '.join(RESERVED)}",
        _names,
    ),
    Rule(
        f"!has(self.adapters) || ({_PLAIN})",
        ".adapters",
        "search, trials, halving and objective are for parameters; with adapters remove them",
        _nothing_tried,
    ),
)
