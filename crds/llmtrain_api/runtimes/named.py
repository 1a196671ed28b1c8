"""Which Secrets and claims a job names, and where: what it may read of its namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .merge import Raw

CLAIM = "pvc://"
SECTIONS = ("model", "dataset", "output")
Named = Iterator[tuple[str, str]]
"""Path in the spec, and a name."""


def secrets_of(own: Raw) -> Named:
    """Every Secret that a job names itself.

    Args:
        own: its spec as it was written.
    """
    for section in SECTIONS:
        yield from _text(f"{section}.secret", _inner(own, section).get("secret"))
    publish = _inner(_inner(own, "output"), "publish")
    yield from _text("output.publish.secret", publish.get("secret"))
    for number, tracker in enumerate(_items(_inner(own, "telemetry").get("trackers"))):
        yield from _text(f"telemetry.trackers[{number}].secret", tracker.get("secret"))
    for number, pull in enumerate(_items(own.get("imagePullSecrets"))):
        yield from _text(f"imagePullSecrets[{number}].name", pull.get("name"))
    for number, receiver in enumerate(_items(own.get("notify"))):
        yield from _text(f"notify[{number}].urlSecret.name", _inner(receiver, "urlSecret").get("name"))
    pod = _inner(_inner(own, "podTemplate"), "spec")
    for path, volume in _named(pod, "volumes"):
        yield from _text(f"{path}.secret.secretName", _inner(volume, "secret").get("secretName"))
        reference = _inner(_inner(volume, "csi"), "nodePublishSecretRef")
        yield from _text(f"{path}.csi.nodePublishSecretRef.name", reference.get("name"))
        for number, source in enumerate(_items(_inner(volume, "projected").get("sources"))):
            name = _inner(source, "secret").get("name")
            yield from _text(f"{path}.projected.sources[{number}].secret.name", name)
    for kind in ("containers", "initContainers"):
        for path, container in _named(pod, kind):
            yield from _of_environment(path, container)


def _of_environment(path: str, container: Raw) -> Named:
    for number, source in enumerate(_items(container.get("envFrom"))):
        yield from _text(f"{path}.envFrom[{number}].secretRef.name", _inner(source, "secretRef").get("name"))
    for number, variable in enumerate(_items(container.get("env"))):
        reference = _inner(_inner(variable, "valueFrom"), "secretKeyRef")
        yield from _text(f"{path}.env[{number}].valueFrom.secretKeyRef.name", reference.get("name"))


def claims_of(own: Raw) -> Named:
    """Every claim that a job names itself.

    Args:
        own: its spec as it was written.
    """
    dataset, origin = _inner(own, "dataset"), _inner(_inner(own, "checkpoint"), "from")
    yield from claim_in("model.name", _inner(own, "model").get("name"))
    yield from claim_in("dataset.name", dataset.get("name"))
    for number, source in enumerate(_items(dataset.get("mixture"))):
        yield from claim_in(f"dataset.mixture[{number}].name", source.get("name"))
    yield from claim_in("dataset.cache", dataset.get("cache"))
    for number, one in enumerate(_items(_inner(own, "evaluation").get("datasets"))):
        yield from claim_in(f"evaluation.datasets[{number}].source", one.get("source"))
    tasks = _inner(_inner(own, "evaluation"), "tasks")
    yield from claim_in("evaluation.tasks.folder", tasks.get("folder"))
    for section in ("evaluation", "training"):
        fairness = _inner(_inner(own, section), "fairness")
        yield from claim_in(f"{section}.fairness.pairs", fairness.get("pairs"))
    rewards = _inner(_inner(own, "training"), "reinforcement").get("rewards")
    for number, reward in enumerate(_items(rewards)):
        yield from claim_in(f"training.reinforcement.rewards[{number}].model", reward.get("model"))
    yield from claim_in("checkpoint.from.output", origin.get("output"))
    yield from claim_in("output.uri", _inner(own, "output").get("uri"))
    pod = _inner(_inner(own, "podTemplate"), "spec")
    for path, volume in _named(pod, "volumes"):
        name = _inner(volume, "persistentVolumeClaim").get("claimName")
        yield from _text(f"{path}.persistentVolumeClaim.claimName", name)


def claim_in(path: str, uri: Any) -> Named:
    """The claim that a URI names, if it names one.

    Args:
        path: of the field that has it.
        uri: whatever stands there.
    """
    if isinstance(uri, str) and uri.startswith(CLAIM):
        yield path, uri.removeprefix(CLAIM).partition("/")[0]


def _text(path: str, name: Any) -> Named:
    if isinstance(name, str):
        yield path, name


def _named(pod: Raw, field: str) -> Iterator[tuple[str, Raw]]:
    for item in _items(pod.get(field)):
        yield f"podTemplate.spec.{field}[{item.get('name')}]", item


def _inner(raw: Raw, name: str) -> Raw:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def _items(value: Any) -> list[Raw]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
