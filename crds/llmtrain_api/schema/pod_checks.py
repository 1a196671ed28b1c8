"""What of a pod a job may say in ``spec.podTemplate``.

It is a list of what is allowed, not of what is forbidden: Kubernetes gets new fields, and worker pods pass
Pod Security's profile ``restricted``, whatever a job says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from ..names import (
    CACHE_MOUNT,
    CONFIG_DIR,
    DATASET_MOUNT,
    EVALUATION_MOUNT,
    MASTER_PORT,
    METRICS_PORT,
    MODEL_MOUNT,
    ORIGIN_MOUNT,
    OUTPUT_MOUNT,
    PAIRS_MOUNT,
    PENALTY_PAIRS_MOUNT,
    REWARD_MODEL_MOUNT,
    SCRATCH_MOUNT,
    TASKS_MOUNT,
    TOKEN_DIR,
)

TRAINER = "trainer"
"""The container of a rank."""
MAX_BYTES = 32 << 10
MOST = 32
OWN_MOUNTS = (
    CONFIG_DIR, TOKEN_DIR, OUTPUT_MOUNT, DATASET_MOUNT, CACHE_MOUNT, MODEL_MOUNT, ORIGIN_MOUNT,
    PAIRS_MOUNT, PENALTY_PAIRS_MOUNT, REWARD_MODEL_MOUNT, EVALUATION_MOUNT, TASKS_MOUNT,
    SCRATCH_MOUNT, "/dev/shm",
)  # fmt: skip
OWN_VOLUMES = re.compile(
    r"config|token|scratch|model|origin|output|cache|pairs|penalty-pairs|reward-model|shm|dataset(-[0-9]+)?|"
    r"evaluation-[0-9]+|tasks"
)
OWN_ENV = re.compile(r"LLMTRAIN_.*|HOME|TMPDIR")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PORTS = range(METRICS_PORT, METRICS_PORT + 64)
SOURCES = (
    "configMap", "secret", "persistentVolumeClaim", "emptyDir", "ephemeral", "csi", "downwardAPI",
    "projected",
)  # fmt: skip
"""Kinds of volumes that the profile ``restricted`` has."""

Found = Iterator[str]
Check = Callable[[str, Any], Found]
"""From a path and its value to what is wrong there: a sentence each, which begins with the path."""


def _anything(_: str, __: Any) -> Found:
    """What the API server checks alone: it can harm nobody but the job."""
    return iter(())


def _wrong(path: str, why: str) -> Found:
    yield f"{path}: {why}"


def _fields(allowed: dict[str, Check], elsewhere: dict[str, str]) -> Check:
    """A mapping with these fields and no others.

    Args:
        allowed: a check for each.
        elsewhere: fields that are set in another way, or not at all, with that in words.
    """

    def check(path: str, value: Any) -> Found:
        if not isinstance(value, dict):
            yield from _wrong(path, "must be a mapping")
            return
        for name, inner in value.items():
            at = f"{path}.{name}".lstrip(".")
            if name in allowed:
                yield from allowed[name](at, inner)
            else:
                others = f"a job may not set it; it may set {', '.join(allowed)}"
                yield from _wrong(at, f"remove it: {elsewhere.get(name, others)}")

    return check


def _each(check: Check) -> Check:
    """A list, each item by a check; what has a name is called by it."""

    def checked(path: str, value: Any) -> Found:
        if not isinstance(value, list) or len(value) > MOST:
            yield from _wrong(path, f"must be a list of at most {MOST}")
            return
        for number, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else None
            yield from check(f"{path}[{name if isinstance(name, str) else number}]", item)

    return checked


def _must(right: Callable[[Any], bool], why: str) -> Check:
    def check(path: str, value: Any) -> Found:
        if not right(value):
            yield from _wrong(path, f"got {json.dumps(value, default=str)[:100]}; {why}")

    return check


def _is(wanted: Any) -> Check:
    return _must(lambda value: value is wanted, f"use {json.dumps(wanted)}, or remove it")


_NAME = _must(
    lambda value: isinstance(value, str) and LABEL.fullmatch(value) is not None,
    "use at most 63 lowercase letters, digits or '-', beginning and ending with a letter or digit",
)


def _env(path: str, value: Any) -> Found:
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str):
        yield from _wrong(path, "must be a mapping with a name")
    elif OWN_ENV.fullmatch(name):
        yield from _wrong(path, "the operator sets it itself; use another name")


def _mount(path: str, value: Any) -> Found:
    where = value.get("mountPath") if isinstance(value, dict) else None
    if not isinstance(where, str) or not re.fullmatch(r"(/[^/:\0]+)+", where) or ".." in where.split("/"):
        yield from _wrong(
            f"{path}.mountPath", "must be an absolute path without '..', ':' or a slash at its end"
        )
        return
    taken = next((own for own in OWN_MOUNTS if _overlap(where, own)), None)
    if taken:
        yield from _wrong(
            f"{path}.mountPath", f"got {where!r}, and {taken} is the operator's own; use another"
        )


def _overlap(one: str, other: str) -> bool:
    """Whether one of two folders lies in the other, or is it."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


_MAPPING = _must(lambda value: isinstance(value, dict), "use a mapping")
_LIST = _must(lambda value: isinstance(value, list), "use a list")
_OF_PODS = _fields(
    {
        "preferredDuringSchedulingIgnoredDuringExecution": _LIST,
        "requiredDuringSchedulingIgnoredDuringExecution": _LIST,
    },
    {},
)
_AFFINITY = _fields(
    {"nodeAffinity": _MAPPING, "podAffinity": _OF_PODS, "podAntiAffinity": _OF_PODS},
    {},
)
_PORT = _fields(
    {
        "name": _anything,
        "protocol": _anything,
        "containerPort": _must(
            lambda value: value not in PORTS and value != MASTER_PORT, "ranks use that port; use another"
        ),
    },
    {"hostPort": "a port of the node is nobody's own", "hostIP": "a port of the node is nobody's own"},
)
_ALL_DROPPED = _fields({"drop": _anything}, {"add": "containers have no capabilities"})
_HARDENED = _fields(
    {
        "runAsUser": _must(lambda value: value != 0, "use a user that is not root"),
        "runAsGroup": _anything,
        "readOnlyRootFilesystem": _anything,
        "runAsNonRoot": _is(True),
        "allowPrivilegeEscalation": _is(False),
        "privileged": _is(False),
        "capabilities": _ALL_DROPPED,
    },
    {},
)
_TRAINER = _fields(
    {"name": _NAME, "env": _each(_env), "envFrom": _each(_MAPPING), "volumeMounts": _each(_mount)},
    {
        "image": "use spec.image",
        "resources": "use spec.resources",
        **dict.fromkeys(("command", "args"), "it is how a rank is started"),
    },
)
_OTHER = {
    "name": _NAME,
    "image": _must(lambda value: isinstance(value, str) and bool(value), "use the name of an image"),
    "env": _each(_env),
    "envFrom": _each(_MAPPING),
    "volumeMounts": _each(_mount),
    "ports": _each(_PORT),
    "securityContext": _HARDENED,
} | dict.fromkeys(("command", "args", "workingDir", "resources", "imagePullPolicy"), _anything)
_SIDECAR = _fields(_OTHER, {"restartPolicy": "it is of init containers"})
_INIT = _fields(
    _OTHER | {"restartPolicy": _must(lambda value: value == "Always", "use Always, or remove it")}, {}
)


def _container(path: str, value: Any) -> Found:
    is_trainer = isinstance(value, dict) and value.get("name") == TRAINER
    yield from (_TRAINER if is_trainer else _named(_SIDECAR))(path, value)


def _named(check: Check) -> Check:
    def checked(path: str, value: Any) -> Found:
        if isinstance(value, dict) and not value.get("name"):
            yield from _wrong(path, "a name is missing")
        elif check is _INIT and isinstance(value, dict) and value.get("name") == TRAINER:
            yield from _wrong(path, "the trainer is no init container; use another name")
        else:
            yield from check(path, value)

    return checked


def _volume(path: str, value: Any) -> Found:
    if not isinstance(value, dict):
        yield from _wrong(path, "must be a mapping")
        return
    name, kinds = value.get("name"), sorted(set(value) - {"name"})
    yield from _NAME(f"{path}.name", name)
    if isinstance(name, str) and OWN_VOLUMES.fullmatch(name):
        yield from _wrong(f"{path}.name", "the operator has a volume of that name; use another")
    if len(kinds) != 1 or kinds[0] not in SOURCES:
        got = ", ".join(map(str, kinds))[:80] or "nothing"
        yield from _wrong(path, f"got {got}; a volume is one of {', '.join(SOURCES)}")
    elif kinds == ["projected"] and "serviceAccountToken" in json.dumps(value["projected"], default=str):
        yield from _wrong(path, "no token of a ServiceAccount is given to a job; remove serviceAccountToken")


_POD = _fields(
    {
        "volumes": _each(_volume),
        "containers": _each(_container),
        "initContainers": _each(_named(_INIT)),
        "affinity": _AFFINITY,
        "topologySpreadConstraints": _anything,
        "runtimeClassName": _NAME,
        "schedulerName": _anything,
        "hostAliases": _anything,
        "dnsConfig": _anything,
        "securityContext": _fields(
            dict.fromkeys(("fsGroup", "fsGroupChangePolicy", "supplementalGroups"), _anything), {}
        ),
    },
    {
        name: f"use spec.{name}"
        for name in (
            "nodeSelector", "tolerations", "imagePullSecrets", "priorityClassName", "serviceAccountName",
            "hostNetwork",
        )
    }
    | {
        "restartPolicy": "a rank that ends is the operator's to judge",
        "hostname": "ranks find each other by it",
        "subdomain": "ranks find each other by it",
        "terminationGracePeriodSeconds": "the installation sets it (trainer.gracePeriodSeconds of the chart)",
        "automountServiceAccountToken": "no token of a ServiceAccount is given to a job",
        "nodeName": "use spec.nodeSelector",
    },
)  # fmt: skip


def template_mistake(spec: dict[str, Any]) -> str | None:
    """The first thing of a pod's spec that a job may not say, with its path; None where it may say all."""
    if len(json.dumps(spec, default=str)) > MAX_BYTES:
        return f"is larger than {MAX_BYTES} bytes; put files into a ConfigMap and mount it"
    found = next(_POD("", spec), None)
    if found is None:
        found = next(_unknown_volumes(spec), None) or next(_twice(spec), None)
    return found


def _unknown_volumes(spec: dict[str, Any]) -> Found:
    known = [volume["name"] for volume in spec.get("volumes", [])]
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind, []):
            for mount in container.get("volumeMounts", []):
                if mount.get("name") not in known:
                    yield from _wrong(
                        f"{kind}[{container['name']}].volumeMounts",
                        f"got {str(mount.get('name'))[:63]!r}; name a volume of podTemplate",
                    )


def _twice(spec: dict[str, Any]) -> Found:
    names: list[str] = [
        one["name"] for kind in ("containers", "initContainers") for one in spec.get(kind, [])
    ]
    for places in (names, [one["name"] for one in spec.get("volumes", [])]):
        again = next((name for at, name in enumerate(places) if name in places[:at]), None)
        if again:
            yield f"{again} is there twice; give each a name of its own"
