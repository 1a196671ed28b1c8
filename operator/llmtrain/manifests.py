"""Manifests before they are sent: read, changed by ``KEY=VALUE``, copied under another name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from llmtrain_api import InvalidJob, parse_manifest
from llmtrain_api.names import API_VERSION, KIND
from llmtrain_api.sweeps import InvalidSweep, parse_sweep
from llmtrain_operator.local import manifest_yaml
from llmtrain_operator.local.manifest_file import Refused, parsed
from llmtrain_operator.local.sweep_file import sweep_document

from .errors import Mistake
from .values import Object

STEP = re.compile(r"([A-Za-z][A-Za-z0-9]*)((?:\[[0-9]{1,3}\])*)")
NEWEST = "newest"
"""In place of the number of a step."""
NOT_COPIED = ("suspend",)
"""Fields of a spec that say how one job is to be treated, not what it trains."""


def read(source: str | Path | Mapping[str, Any]) -> Object:
    """A manifest from a file, or as it is; checked by the rules of the contract.

    Raises:
        Mistake: with every mistake in it.
    """
    if isinstance(source, Mapping):
        document = deepcopy(dict(source))
        checked(document)
        return document
    try:
        found = parsed(Path(source))
    except Refused as refused:
        raise Mistake(*(f"{source}: {reason}" for reason in refused.reasons)) from None
    if found.runtimes:
        # the job would be sent with the runtime's values as its own, and the runtime not at all
        raise Mistake(f"{source}: it has {found.runtimes} runtimes beside the job; kubectl apply sends both")
    return found.document


def read_sweep(source: str | Path | Mapping[str, Any]) -> Object:
    """The manifest of a sweep, from a file or as it is; checked by the rules of the contract.

    Raises:
        Mistake: with every mistake in it.
    """
    named = "" if isinstance(source, Mapping) else f"{source}: "
    try:
        document = deepcopy(dict(source)) if isinstance(source, Mapping) else sweep_document(Path(source))
        parse_sweep(document)
    except InvalidSweep as invalid:
        raise Mistake(*(f"{named}{mistake}" for mistake in invalid.mistakes)) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Mistake(f"{named}{manifest_yaml.unreadable(error)}") from None
    return document


def checked(document: Object) -> None:
    """Check it by the rules of the contract.

    Raises:
        Mistake: with every mistake in it.
    """
    try:
        parse_manifest(document)
    except InvalidJob as invalid:
        raise Mistake(*invalid.mistakes) from None


def with_settings(document: Object, settings: Iterable[str]) -> Object:
    """The manifest with fields of its spec set: ``training.maxSteps=9``, ``dataset.mixture[0].weight=2``.

    A value is read as YAML, as kubectl reads it; an empty one removes the field.

    Raises:
        Mistake: it is no ``KEY=VALUE``, or there is nothing at that path.
    """
    changed = deepcopy(document)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise Mistake(f"--set: got {setting!r}; use KEY=VALUE, such as training.learningRate=1e-4")
        try:
            value = manifest_yaml.load(text)
        except yaml.YAMLError as error:
            raise Mistake(f"--set {key}: the value is no YAML ({str(error).splitlines()[0]})") from None
        _put(changed["spec"], steps(key.removeprefix("spec.")), value, key)
    return changed


def steps(key: str) -> list[str | int]:
    """``dataset.mixture[0].weight`` as the way through an object.

    Raises:
        Mistake: it is no such path.
    """
    found: list[str | int] = []
    for part in key.split("."):
        match = STEP.fullmatch(part)
        if match is None:
            raise Mistake(f"--set: {key!r} is no path of a field, such as training.maxSteps")
        found += [match[1], *map(int, re.findall(r"[0-9]+", match[2]))]
    return found


def _put(node: Any, way: list[str | int], value: Any, key: str) -> None:
    for step, following in pairwise(way):
        node = _inner(node, step, {} if isinstance(following, str) else [], key)
    last = way[-1]
    if isinstance(last, int):
        if not isinstance(node, list) or last >= len(node):
            raise Mistake(f"--set {key}: there is no item {last}; give the whole list as [...]")
        node[last] = value
    elif not isinstance(node, dict):
        raise Mistake(f"--set {key}: {last} is no field of {type(node).__name__}")
    elif value is None:
        node.pop(last, None)
    else:
        node[last] = value


def _inner(node: Any, step: str | int, empty: Any, key: str) -> Any:
    if isinstance(step, int):
        if not isinstance(node, list) or step >= len(node):
            raise Mistake(f"--set {key}: there is no item {step}; give the whole list as [...]")
        return node[step]
    if not isinstance(node, dict):
        raise Mistake(f"--set {key}: {step} is no field of a {type(node).__name__}")
    return node.setdefault(step, empty)


def _step_of(job: str, step: int | str) -> Object:
    if step != NEWEST and not str(step).isdigit():
        raise Mistake(f"--from-step: got {step!r}; use a step, such as 100, or {NEWEST}")
    return {"job": job} | ({} if step == NEWEST else {"step": int(step)})


def copied(raw: Object, name: str, settings: Iterable[str], from_step: int | str | None = None) -> Object:
    """A manifest of another job that trains the same, with some fields set.

    An output that ends in the old name ends in the new one; the two jobs must not write to one folder.

    Args:
        raw: the other job.
        name: of the new one.
        settings: fields as ``KEY=VALUE``.
        from_step: the step of the other job that it goes on from, or ``newest``; None = it begins anew.

    Raises:
        Mistake: they would, or a setting is wrong.
    """
    settings = list(settings)
    old_name, spec = raw["metadata"]["name"], deepcopy(raw["spec"])
    for field in NOT_COPIED:
        spec.pop(field, None)
    old_uri = str(spec["output"]["uri"]).rstrip("/")
    if from_step is not None:
        spec["checkpoint"] = spec.get("checkpoint", {}) | {"from": _step_of(old_name, from_step)}
    folder, slash, last = old_uri.rpartition("/")
    if slash and last == old_name:
        spec["output"]["uri"] = f"{folder}/{name}"
    metadata = {"name": name, "namespace": raw["metadata"].get("namespace", "default")}
    document = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    document = with_settings(document, settings)
    if str(document["spec"]["output"].get("uri", "")).rstrip("/") == old_uri:
        raise Mistake(
            f"spec.output.uri: {name} would write to the folder of {old_name}, {old_uri}; "
            "add --set output.uri=... with another one"
        )
    checked(document)
    return document
