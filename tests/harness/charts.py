"""The chart as Helm renders it, without a cluster."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from barecluster import build
from barecluster.settings import cache_root
from harness.cluster import ROOT

CHART = ROOT / "helm" / "llm-training-operator"
Objects = dict[tuple[str, str], dict[str, Any]]


class Refused(Exception):
    """Helm's no."""


def objects_of(text: str) -> Objects:
    """Every object by kind and name. libyaml reads the CRDs, most of the text, in a tenth of the time."""
    objects = yaml.load_all(text, yaml.CSafeLoader)
    return {(one["kind"], one["metadata"]["name"]): one for one in objects if one}


def helm(*words: str | Path) -> str:
    """Run it; what it printed.

    Raises:
        Refused: it failed.
    """
    [folder] = build.ensure(["helm"], cache_root())
    done = subprocess.run([folder / "helm", *words], text=True, capture_output=True, check=False, timeout=120)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


@cache
def text_of(chart: Path, namespace: str, *settings: str) -> str:
    """What a release of it applies.

    Args:
        chart: a folder or an archive.
        namespace: of the release.
        settings: values as ``path=JSON``.
    """
    given = [word for setting in settings for word in ("--set-json", setting)]
    return helm(
        "template",
        "llmtrain",
        chart,
        "--namespace",
        namespace,
        "--kube-version",
        "1.34",
        "--include-crds",
        *given,
    )


def rendered(namespace: str, *settings: str) -> Objects:
    """Every object of a release by kind and name."""
    return objects_of(text_of(CHART, namespace, *settings))


def pods_of(objects: Objects) -> dict[str, dict[str, Any]]:
    """The spec of every pod that a release makes, by the name of what makes it."""
    found = {}
    for (kind, name), one in objects.items():
        if kind == "Deployment":
            found[name] = one["spec"]["template"]["spec"]
        elif kind == "Pod":
            found[name] = one["spec"]
    return found


def not_restricted(spec: dict[str, Any]) -> list[str]:
    """What of a pod Pod Security's profile ``restricted`` does not let in."""
    whole = spec.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if whole.get("runAsNonRoot") is not True:
        found.append("runAsNonRoot")
    if whole.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        found.append("seccompProfile")
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{container['name']}: allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append(f"{container['name']}: capabilities")
        if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
            found.append(f"{container['name']}: root")
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [volume["name"] for volume in spec.get("volumes", ()) if not allowed >= {*volume} - {"name"}]
    return found
