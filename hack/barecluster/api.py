"""Talking to the running API server: health probes and kubectl as the administrator."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from barecluster.console import ClusterError
from barecluster.settings import Settings
from barecluster.shell import run


def answers(url: str) -> bool:
    """True when the URL answers 200. Certificates are not verified: this only asks our own loopback ports."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with direct.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def kubectl(settings: Settings, *words: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run kubectl as the administrator."""
    return run(
        settings.bin / "kubectl", f"--kubeconfig={settings.kubeconfig}", *words, stdin=stdin, timeout=timeout
    )


def get(settings: Settings, *words: str) -> dict[str, Any] | None:
    """One object or list from the API; None when there is none or the API does not answer."""
    try:
        found: dict[str, Any] = json.loads(kubectl(settings, "get", *words, "-o", "json", timeout=20))
    except ClusterError:
        return None
    return found


def apply(settings: Settings, objects: Sequence[dict[str, Any]]) -> None:
    """Create the objects, or bring them to this state."""
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl(settings, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(items))
