"""What of a job is beyond the bounds of its runtime: a sentence each, with field, bound and runtime."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..schema.runtime import RuntimeBounds, RuntimeSpec, defaults_of
from ..schema.spec import JobSpec
from .merge import Raw, written
from .named import Named, claim_in, claims_of, secrets_of

HIDES = frozenset({"resources"})
"""Fields whose own fields a runtime may leave to jobs one by one."""


def beyond(raw: Raw, spec: JobSpec, runtime: Raw, title: str) -> list[str]:
    """Where a job goes further than its runtime lets it.

    Args:
        raw: the job's spec as it was written.
        spec: with the runtime's defaults.
        runtime: the runtime's spec, as it was written.
        title: what people call the runtime.
    """
    bounds = RuntimeSpec.model_validate(runtime).bounds
    defaults = defaults_of(runtime)
    own = written(raw)
    return [
        *_overrides(own, defaults, bounds, title),
        *_images(own, bounds, title),
        *_sizes(_nodes(raw), spec.gpus_per_node, bounds, title),
        *_limits(raw, bounds, title),
        *_devices(own, spec, defaults, bounds, title),
        *_named(own, defaults, bounds, title),
        *_not_listed(secrets_of(raw), bounds.secrets, "secrets", title),
        *_not_listed(claims_of(raw), bounds.claims, "claims", title),
    ]


def claim_beyond(path: str, uri: str, runtime: Raw, title: str) -> str | None:
    """Why a job may not read a claim that it names by something else, such as another job; None where it may.

    Args:
        path: of the field that names it.
        uri: what that came to.
        runtime: the runtime's spec, as it was written.
        title: what people call the runtime.
    """
    allowed = RuntimeSpec.model_validate(runtime).bounds.claims
    return next(_not_listed(claim_in(path, uri), allowed, "claims", title), None)


def _overrides(own: Raw, defaults: Raw, bounds: RuntimeBounds, title: str) -> Iterator[str]:
    if bounds.overrides is None:
        return
    for path, value, default in _paths(own, defaults):
        if path not in bounds.overrides and path.partition(".")[0] not in bounds.overrides:
            if value == default or value in (None, False, [], {}):
                continue
            yield f"spec.{path}: {title} lets no job set it (bounds.overrides); remove it"


def _paths(own: Raw, defaults: Raw) -> Iterator[tuple[str, Any, Any]]:
    """Each field that a job sets, with the runtime's own value."""
    for name, value in own.items():
        if name not in HIDES or not isinstance(value, dict):
            yield name, value, defaults.get(name)
            continue
        under = defaults.get(name) or {}
        for inner, its in value.items():
            yield f"{name}.{inner}", its, under.get(inner)


def _images(own: Raw, bounds: RuntimeBounds, title: str) -> Iterator[str]:
    if bounds.images is None:
        return
    may = f"takes images of {', '.join(bounds.images)} only" if bounds.images else "lets no job name an image"
    for path, image in _images_of(own):
        if not any(comes_from(image, prefix) for prefix in bounds.images):
            yield f"spec.{path}: got {image!r}, and {title} {may} (bounds.images)"


def _images_of(own: Raw) -> Iterator[tuple[str, str]]:
    if isinstance(own.get("image"), str):
        yield "image", own["image"]
    for kind, container in containers(own):
        if isinstance(container.get("image"), str):
            yield f"podTemplate.spec.{kind}[{container.get('name')}].image", container["image"]


def containers(own: Raw) -> Iterator[tuple[str, Raw]]:
    """Containers of a job's own ``podTemplate``, each with the field that it is in."""
    spec = (own.get("podTemplate") or {}).get("spec") or {}
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            if isinstance(container, dict):
                yield kind, container


def comes_from(image: str, prefix: str) -> bool:
    """Whether an image lies below a prefix, by whole parts of its path.

    ``registry.example.com/ml`` has ``registry.example.com/ml/trainer:1`` and ``registry.example.com/ml:1``,
    but not ``registry.example.com/ml-of-others/trainer``; a registry's other port is another registry.
    """
    if prefix.endswith("/"):
        return image.startswith(prefix)
    if not image.startswith(prefix):
        return False
    rest = image[len(prefix) :]
    if rest.startswith("/"):
        return True
    # a tag or a digest and nothing after it; a name without a slash is no registry, but an image of the hub
    return "/" in prefix and (rest == "" or re.fullmatch(r"[:@][^/]+", rest) is not None)


def _nodes(raw: Raw) -> int:
    """As they were written: those of the spec in force are held to the bounds."""
    found = raw.get("nodes")
    return int(found) if isinstance(found, int | float) else 1


def _sizes(nodes: int, gpus_per_node: int, bounds: RuntimeBounds, title: str) -> Iterator[str]:
    if bounds.max_nodes is not None and nodes > bounds.max_nodes:
        yield (
            f"spec.nodes: got {nodes}, and {title} takes at most {bounds.max_nodes} (bounds.maxNodes); "
            "lower it"
        )
    gpus = nodes * gpus_per_node
    if bounds.max_gpus is not None and gpus > bounds.max_gpus:
        yield (
            f"spec.gpusPerNode: {nodes} nodes x {gpus_per_node} are {gpus} GPUs, and {title} takes "
            f"at most {bounds.max_gpus} (bounds.maxGpus); lower nodes or gpusPerNode"
        )


def _limits(raw: Raw, bounds: RuntimeBounds, title: str) -> Iterator[str]:
    limits = raw.get("limits") if isinstance(raw.get("limits"), dict) else {}
    assert isinstance(limits, dict)
    for path, value, bound, name in (
        ("limits.gpuHours", limits.get("gpuHours"), bounds.max_gpu_hours, "maxGpuHours"),
        (
            "activeDeadlineSeconds",
            raw.get("activeDeadlineSeconds"),
            bounds.max_run_seconds,
            "maxRunSeconds",
        ),
    ):
        if bound is not None and isinstance(value, int | float) and value > bound:
            yield f"spec.{path}: got {value:g}, and {title} takes at most {bound:g} (bounds.{name}); lower it"


def _devices(own: Raw, spec: JobSpec, defaults: Raw, bounds: RuntimeBounds, title: str) -> Iterator[str]:
    """Other ways to devices than ``gpusPerNode``, past a bound on GPUs."""
    if bounds.max_gpus is None:
        return
    theirs = ((defaults.get("resources") or {}).get("rdma") or {}).get("resource")
    rdma = spec.resources.rdma
    if rdma is not None and rdma.resource != theirs:
        only = f"use {theirs}" if theirs else "remove it"
        yield (
            f"spec.resources.rdma.resource: got {rdma.resource!r}, and with a bound on GPUs {title} gives "
            f"the devices that it names itself (bounds.maxGpus); {only}"
        )
    for kind, container in containers(own):
        asked = container.get("resources")
        for side in ("requests", "limits"):
            amounts = asked.get(side) if isinstance(asked, dict) else None
            for name in amounts if isinstance(amounts, dict) else ():
                if "/" in str(name):
                    yield (
                        f"spec.podTemplate.spec.{kind}[{container.get('name')}].resources.{side}: with a "
                        f"bound on GPUs {title} gives devices by gpusPerNode alone (bounds.maxGpus); "
                        f"remove {name}"
                    )


def _named(own: Raw, defaults: Raw, bounds: RuntimeBounds, title: str) -> Iterator[str]:
    for field, allowed, name in (
        ("priorityClassName", bounds.priority_classes, "priorityClasses"),
        ("serviceAccountName", bounds.service_accounts, "serviceAccounts"),
    ):
        value = own.get(field)
        if value is None or allowed is None or value in allowed or value == defaults.get(field):
            continue
        fix = f"use one of {', '.join(allowed)}" if allowed else "remove it"
        yield f"spec.{field}: got {value!r}, and {title} does not allow it (bounds.{name}); {fix}"


def _not_listed(named: Named, allowed: list[str] | None, bound: str, title: str) -> Iterator[str]:
    """Secrets and claims that are not among those that jobs may name."""
    if allowed is None:
        return
    fix = f"use one of {', '.join(allowed)}" if allowed else "remove it"
    for path, name in named:
        if name not in allowed:
            yield f"spec.{path}: got {name!r}, and {title} does not allow it (bounds.{bound}); {fix}"
