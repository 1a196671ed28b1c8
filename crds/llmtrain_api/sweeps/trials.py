"""From a sweep's spec to its trials: the same spec, the same trials, on every machine, after every crash."""

from __future__ import annotations

import hashlib
import json
import math
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..schema.base import ApiModel
from ..schema.status import Results
from ..schema.sweep import Goal, Scale, Search, SweepParameter, SweepSpec
from ..schema.sweep_adapters import SweepAdapter

LESS_IS_BETTER = ("loss", "perplexity", "entropy", "mse", "steps")
"""How the last name of such a figure ends."""
EDITABLE = ("parallel", "suspend")
SHARED = ("pvc://", "file://")
"""Stores in which the trials of a sweep share prepared data by default."""
CACHE = "cache"


@dataclass(frozen=True)
class Trial:
    """One combination of values.

    Attributes:
        number: from 0.
        values: of each field that differs, by its path.
        adapter: name of the adapter that it trains; empty for values that are tried.
    """

    number: int
    values: dict[str, Any]
    adapter: str = ""

    def texts(self) -> dict[str, str]:
        """The values that are tried, as JSON. What an adapter is trained on is no value that is tried."""
        return {} if self.adapter else {field: json.dumps(value) for field, value in self.values.items()}

    def title(self) -> str:
        """What messages call it."""
        if self.adapter:
            return f"adapter {self.adapter}"
        values = ", ".join(f"{field} {text}" for field, text in self.texts().items())
        return f"trial {self.number}: {values}"


def trials_of(spec: SweepSpec) -> list[Trial]:
    """All trials, in their order."""
    if spec.adapters:
        return [_adapter(spec.job, one, n) for n, one in enumerate(spec.adapters)]
    fields = [p.field for p in spec.parameters]
    if spec.search is Search.GRID:
        combinations = product(*(p.values or [] for p in spec.parameters))
        return [Trial(n, dict(zip(fields, one, strict=True))) for n, one in enumerate(combinations)]
    return [
        Trial(n, {p.field: _chosen(p, spec.seed, n) for p in spec.parameters})
        for n in range(spec.trials or 0)
    ]


def _adapter(job: dict[str, Any], adapter: SweepAdapter, number: int) -> Trial:
    """An adapter alone, as the base is there once and is served once."""
    values: dict[str, Any] = {"output.merged": False}
    for section, own in (("dataset", adapter.dataset), ("training", adapter.training)):
        shared = job.get(section)
        if own is not None:
            values[section] = {**(shared if isinstance(shared, dict) else {}), **own}
    return Trial(number, values, adapter.name)


def _chosen(parameter: SweepParameter, seed: int, number: int) -> Any:
    share = _uniform(f"{seed} {number} {parameter.field}")
    if parameter.values is not None:
        return parameter.values[int(share * len(parameter.values))]
    assert parameter.min is not None
    assert parameter.max is not None
    low, high = parameter.min, parameter.max
    if parameter.scale is Scale.LOG:
        found = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        found = low + share * (high - low)
    # six digits are what a person can copy, and all that such a value means
    return round(found) if parameter.whole else float(f"{min(max(found, low), high):.6g}")


def _uniform(text: str) -> float:
    """A number from 0 to below 1 that follows from a text alone, whatever the language's version."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def rounds_of(spec: SweepSpec) -> list[tuple[int, int | None]]:
    """How many trials each round runs, and for how many steps; None = as the job says."""
    count = len(trials_of(spec))
    if spec.halving is None:
        return [(count, None)]
    most, steps = _steps(spec.job), spec.halving.min_steps
    found = []
    while steps < most and count > 1:
        found.append((count, steps))
        count, steps = math.ceil(count / spec.halving.factor), steps * spec.halving.factor
    return [*found, (count, None)]


def _steps(job: dict[str, Any]) -> int:
    training = job.get("training")
    steps = training.get("maxSteps") if isinstance(training, dict) else None
    return steps if isinstance(steps, int) and not isinstance(steps, bool) else 0


def job_name(sweep: str, spec: SweepSpec, number: int, turn: int) -> str:
    """Of the job of a trial, in a round of halving."""
    if spec.adapters:
        return f"{sweep}-{spec.adapters[number].name}"
    return f"{sweep}-{number}" if spec.halving is None else f"{sweep}-{number}-r{turn}"


def job_of(sweep: str, spec: SweepSpec, trial: Trial, turn: int) -> dict[str, Any]:
    """``spec`` of the job of a trial, with its own folder and the cache that all share."""
    job = deepcopy(spec.job)
    for field, value in trial.values.items():
        _put(job, field, value)
    steps = rounds_of(spec)[turn][1]
    if steps is not None:
        _put(job, "training.maxSteps", steps)
    folder = _folder(job)
    if folder:
        dataset = job.get("dataset")
        if isinstance(dataset, dict) and not dataset.get(CACHE) and folder.startswith(SHARED):
            dataset[CACHE] = f"{folder}/{CACHE}"
        own = trial.adapter or job_name(sweep, spec, trial.number, turn)
        _put(job, "output.uri", f"{folder}/{own}")
    return job


def _folder(job: dict[str, Any]) -> str:
    output = job.get("output")
    uri = output.get("uri") if isinstance(output, dict) else None
    return uri.rstrip("/") if isinstance(uri, str) else ""


def _put(job: dict[str, Any], field: str, value: Any) -> None:
    *folders, last = field.split(".")
    here = job
    for name in folders:
        inner = here.get(name)
        if not isinstance(inner, dict):
            inner = here[name] = {}
        here = inner
    here[last] = value


def minimizes(spec: SweepSpec) -> bool:
    """Whether the smaller of two values of the metric is better."""
    if spec.objective.goal is not None:
        return spec.objective.goal is Goal.MINIMIZE
    return spec.objective.metric.rpartition(".")[2].lower().endswith(LESS_IS_BETTER)


def metric_of(results: dict[str, Any], metric: str) -> float | None:
    """The metric in ``status.results`` of a job; None where it is not there."""
    found: Any = results
    for name in metric.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and math.isfinite(found) else None


def metrics() -> list[str]:
    """Every figure that results may have, by its path."""
    return sorted(_figures(Results, ""))


def _figures(model: type[ApiModel], path: str) -> list[str]:
    found: list[str] = []
    for field in model.model_fields.values():
        name, text = f"{path}{field.alias}", str(field.annotation)
        inner = next((x for x in _models(field.annotation) if issubclass(x, ApiModel)), None)
        if inner is not None:
            found += _figures(inner, f"{name}.")
        elif "int" in text or "float" in text:
            found.append(name)
    return found


def _models(annotation: Any) -> list[type]:
    parts = getattr(annotation, "__args__", None) or (annotation,)
    return [part for part in parts if isinstance(part, type)]


def digest_of(spec: SweepSpec, adapters: int | None = None) -> str:
    """Of what the trials follow from: all but what may be edited, and what is not set, so that sweeps outlive
    an operator that knows fewer fields.

    Args:
        spec: of the sweep.
        adapters: of the first so many of its adapters alone, if it has any; None: of all.
    """
    kept = {name: value for name, value in spec.to_json().items() if name not in EDITABLE}
    if adapters is not None and "adapters" in kept:
        kept["adapters"] = kept["adapters"][:adapters]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
