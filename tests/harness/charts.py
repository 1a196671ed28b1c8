"""The chart as Helm renders it, without a cluster."""

from __future__ import annotations

import subprocess
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
    """Every object by kind and name."""
    objects = yaml.safe_load_all(text_of(CHART, namespace, *settings))
    return {(one["kind"], one["metadata"]["name"]): one for one in objects if one}
