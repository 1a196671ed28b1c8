"""A job's spec with the defaults of its runtime under it.

Both are taken as they were written, so that what a person left out can be told from what a person wrote. Maps
are joined and the job's value wins per key; lists of pods' parts are joined, and the same name twice is found
by the checks of the whole. What selects nodes can only be narrowed by a job, never widened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..schema.pod_checks import TRAINER
from ..schema.runtime import DEFAULTED, RuntimeBounds, RuntimeSpec, defaults_of

Raw = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
REPLACED = frozenset({"command", "args", "topology", "rdma"})
"""What is said as a whole: of two, the job's counts."""


def effective(spec: Raw, runtime: Raw) -> Raw:
    """The spec that a job runs with.

    Args:
        spec: of the job, as it was written.
        runtime: the runtime's own spec, as it was written, which keeps the contract.
    """
    found = dict(spec)
    for name, default in defaults_of(runtime).items():
        if name in DEFAULTED and not _empty(default):
            found[name] = default if _empty(found.get(name)) else _joined(name, default, found[name])
    return _held(found, runtime)


def written(spec: Raw) -> Raw:
    """The fields that a runtime may give defaults to and that a job sets, without those that say nothing."""
    return {name: spec[name] for name in DEFAULTED if not _empty(spec.get(name))}


def _empty(value: Any) -> bool:
    """What the API server fills in for an object, list or map that is left out."""
    if isinstance(value, dict):
        return all(_empty(inner) for inner in value.values())
    return value is None or value == []


def _joined(name: str, default: Any, own: Any) -> Any:
    if name in REPLACED:
        return own
    if isinstance(default, dict) and isinstance(own, dict):
        if name == "nodeAffinity":
            return _node_affinity(default, own)
        both = {key: _joined(key, default[key], own[key]) for key in default.keys() & own.keys()}
        # a null is a field left out, as the API server has it
        return {**default, **{key: value for key, value in own.items() if value is not None}, **both}
    if isinstance(default, list) and isinstance(own, list):
        return _containers(default, own) if name == "containers" else _appended(default, own)
    return default if own is None else own


def _appended(default: list[Any], own: list[Any]) -> list[Any]:
    """What both say is there once."""
    return [*default, *(one for one in own if one not in default)]


def _containers(default: list[Any], own: list[Any]) -> list[Any]:
    """The trainer's parts together; any other container of the same name is one too many."""
    found = list(default)
    for one in own:
        at = next((n for n, known in enumerate(found) if _is_trainer(known) and _is_trainer(one)), None)
        if at is None:
            found.append(one)
        else:
            found[at] = _trainer(found[at], one)
    return found


def _is_trainer(container: Any) -> bool:
    return isinstance(container, dict) and container.get("name") == TRAINER


def _trainer(default: Raw, own: Raw) -> Raw:
    joined = _joined("trainer", default, own)
    if not isinstance(joined.get("env"), list):
        return dict(joined)
    # of two values of one variable the job's counts
    by_name = {one.get("name"): one for one in joined["env"] if isinstance(one, dict)}
    return {**joined, "env": list(by_name.values())}


def _node_affinity(default: Raw, own: Raw) -> Raw:
    """Terms of a selector are alternatives: joined as a list, a job's would be another way around them."""
    found = {key: _joined(key, default.get(key), own.get(key)) for key in {**default, **own}}
    ours, theirs = _terms(default), _terms(own)
    if ours and theirs:
        found[REQUIRED] = {"nodeSelectorTerms": [_both(a, b) for a in ours for b in theirs]}
    return found


def _terms(affinity: Raw) -> list[Raw]:
    required = affinity.get(REQUIRED)
    terms = required.get("nodeSelectorTerms") if isinstance(required, dict) else None
    return [one for one in terms if isinstance(one, dict)] if isinstance(terms, list) else []


def _both(one: Raw, other: Raw) -> Raw:
    """Expressions within a term must all hold."""
    return {key: _appended(_list(one.get(key)), _list(other.get(key))) for key in {**one, **other}}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _held(spec: Raw, runtime: Raw) -> Raw:
    """What may be edited while a job runs never goes beyond its bound, whatever the job says."""
    bounds = RuntimeSpec.model_validate(runtime).bounds
    found = dict(spec)
    most = _most_nodes(spec, bounds)
    if most is not None and spec.get("nodes") is not None:
        found["nodes"] = _least(spec["nodes"], most)
    if bounds.max_run_seconds is not None:
        found["activeDeadlineSeconds"] = _least(spec.get("activeDeadlineSeconds"), bounds.max_run_seconds)
    if bounds.max_gpu_hours is not None:
        limits = spec.get("limits") if isinstance(spec.get("limits"), dict) else {}
        assert isinstance(limits, dict)
        found["limits"] = {**limits, "gpuHours": _least(limits.get("gpuHours"), bounds.max_gpu_hours)}
    return found


def _most_nodes(spec: Raw, bounds: RuntimeBounds) -> int | None:
    """Nodes of the largest gang within the bounds; one that no gang is within is told, not made smaller."""
    gpus = spec.get("gpusPerNode")
    by_gpus = (
        bounds.max_gpus // int(gpus) if bounds.max_gpus is not None and gpus and _numbers([gpus]) else None
    )
    most = [n for n in (bounds.max_nodes, by_gpus) if n]
    return min(most, default=None)


def _least(value: Any, bound: float) -> Any:
    """What is no number is left to the checks of the whole."""
    if value is None:
        return bound
    return bound if _numbers([value]) and value > bound else value


def _numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
