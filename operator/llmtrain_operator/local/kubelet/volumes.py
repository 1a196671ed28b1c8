"""What a pod's volumes are on this machine. Nothing is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmtrain_api.names import CONFIG_DIR, JOB_FILE

from ...kube.api import Object

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class VolumeRoots:
    """Where volumes lie.

    Attributes:
        claims: each claim is a folder in it.
        private: the pod's own folder, gone with the pod.
        instead: folders of a pod that lie somewhere else than their volume says.
    """

    claims: Path
    private: Path
    instead: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Mount:
    """A path in the pod and the folder that it is here."""

    path: str
    folder: Path
    made: bool = True


@dataclass(frozen=True)
class Mounts:
    """All folders of a pod."""

    volumes: tuple[Mount, ...]
    instead: Mapping[str, Path]

    def to_local(self, text: str, already_local: frozenset[str] = frozenset()) -> str:
        """A path of the pod as it is on this machine; any other text as it is.

        Args:
            text: perhaps a path.
            already_local: folders that are of this machine already.
        """
        for path, folder in self.instead.items():
            if _below(text, path):
                return str(folder) + text[len(path) :]
        if any(_below(text, path) for path in already_local):
            return text
        for mount in sorted(self.volumes, key=lambda m: -len(m.path)):
            if _below(text, mount.path):
                return str(mount.folder) + text[len(mount.path) :]
        return text


def _below(text: str, path: str) -> bool:
    return text == path or text.startswith(path + "/")


def mounts(pod: Object, roots: VolumeRoots) -> Mounts:
    """The folders behind a pod's mount paths.

    Raises:
        ValueError: a kind of volume that this machine has not.
    """
    spec = pod["spec"]
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    found = []
    for mount in spec["containers"][0].get("volumeMounts", []):
        volume = volumes[mount["name"]]
        claim = volume.get("persistentVolumeClaim")
        if claim:
            folder, made = roots.claims / claim["claimName"], not mount.get("readOnly", False)
        elif {"emptyDir", "configMap", "projected"} & set(volume):
            folder, made = roots.private / volume["name"], True
        else:
            raise ValueError(
                f"volume {volume['name']}: no {', '.join(set(volume) - {'name'})} on this machine"
            )
        found.append(Mount(mount["mountPath"].rstrip("/"), folder, made))
    return Mounts(tuple(found), roots.instead)


def config_maps(pod: Object) -> dict[str, str]:
    """Names of the ConfigMaps that a pod mounts, by volume."""
    volumes = pod["spec"].get("volumes", [])
    return {v["name"]: v["configMap"]["name"] for v in volumes if "configMap" in v}


def token_paths(pod: Object) -> list[tuple[str, str]]:
    """Where a pod wants ServiceAccount tokens: (volume, path in it)."""
    return [
        (volume["name"], source["serviceAccountToken"]["path"])
        for volume in pod["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    ]


def config_files(data: Mapping[str, str], at: Mounts, port: int) -> dict[str, str]:
    """The files of a ConfigMap with the pod's paths as they are here.

    Args:
        data: of the ConfigMap.
        at: the pod's folders.
        port: where the ranks of this attempt meet.
    """
    job = JOB_FILE.removeprefix(f"{CONFIG_DIR}/")
    return {name: job_file(text, at, port) if name == job else text for name, text in data.items()}


def job_file(text: str, at: Mounts, port: int) -> str:
    """``job.json`` for this machine: paths, and the loopback address instead of a DNS name."""
    document = json.loads(text)
    # what the spec names as file:// is a folder of this machine, even where a volume has the same path
    already_local = frozenset(
        s.removeprefix("file://").rstrip("/") for s in _strings(document) if s.startswith("file://")
    )
    localized: dict[str, Any] = _localized(document, at, already_local)
    if "rendezvous" in localized:
        localized["rendezvous"] |= {"masterAddress": LOOPBACK, "masterPort": port}
    return json.dumps(localized, indent=1)


def _localized(value: Any, at: Mounts, already_local: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _localized(inner, at, already_local) for key, inner in value.items()}
    if isinstance(value, list):
        return [_localized(inner, at, already_local) for inner in value]
    return at.to_local(value, already_local) if isinstance(value, str) else value


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return [value] if isinstance(value, str) else []


def environment(pod: Object, at: Mounts) -> dict[str, str]:
    """The variables that a pod's container asks for, without those of Secrets that it can do without.

    Raises:
        ValueError: a source that this machine has not.
    """
    entries = pod["spec"]["containers"][0].get("env", [])
    return {entry["name"]: _value(entry, pod, at) for entry in entries if not _of_no_secret(entry)}


def _of_no_secret(entry: Object) -> bool:
    """Whether it is a key of a Secret that need not be there: here none is."""
    return bool(entry.get("valueFrom", {}).get("secretKeyRef", {}).get("optional"))


def _value(entry: Object, pod: Object, at: Mounts) -> str:
    if "valueFrom" not in entry:
        return at.to_local(entry.get("value", ""))
    path = entry["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
    section, _, name = path.partition(".")
    if section != "metadata" or not isinstance(pod["metadata"].get(name), str):
        raise ValueError(f"env {entry['name']}: only fieldRef metadata.NAME is known on this machine")
    return str(pod["metadata"][name])


def command(pod: Object, at: Mounts, python: str) -> list[str]:
    """What a pod's container runs, with this machine's Python."""
    container = pod["spec"]["containers"][0]
    words = [at.to_local(word) for word in [*container.get("command", []), *container.get("args", [])]]
    if not words:
        raise ValueError("a container needs a command here: its image is not read")
    return [python if words[0] in ("python", "python3") else words[0], *words[1:]]
