"""etcd, the API server, the controller manager and the scheduler: have them run and be well."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from barecluster import api, components
from barecluster.console import step
from barecluster.process import Processes
from barecluster.settings import LOOPBACK, Settings

NAMES = ("etcd", "apiserver", "controller-manager", "scheduler")


def start(settings: Settings, processes: Processes, *, with_nodes: bool) -> None:
    """Have the four run and answer; a program whose arguments changed is started anew."""
    policy = {settings.state / "audit-policy.json": json.dumps(components.audit_policy(), indent=1)}
    with step("control plane"):
        processes.ensure("etcd", components.etcd(settings))
        wait_healthy(settings, processes, "etcd")  # an API server that misses it waits seconds to ask again
        processes.ensure("apiserver", components.apiserver(settings, with_nodes=with_nodes), files=policy)
        wait_healthy(settings, processes, "apiserver")
        processes.ensure("controller-manager", components.controller_manager(settings))
        processes.ensure("scheduler", components.scheduler(settings))
        wait_healthy(settings, processes, "controller-manager", "scheduler")
        _wait_default_account(settings, processes)
        if api.get(settings, "clusterrolebinding", "llmtrain-apiserver-to-kubelets") is None:
            api.apply(settings, roles())


def health_url(settings: Settings, name: str) -> str:
    """Where the process tells that it is well."""
    ports = settings.ports
    return {
        "etcd": f"http://{LOOPBACK}:{ports.etcd}/health",
        "apiserver": f"{settings.server}/readyz",
        "controller-manager": f"https://{LOOPBACK}:{ports.controller_manager}/healthz",
        "scheduler": f"https://{LOOPBACK}:{ports.scheduler}/healthz",
    }[name]


def wait_healthy(settings: Settings, processes: Processes, *names: str) -> None:
    """Wait until each of these answers."""
    for name in names:
        url = health_url(settings, name)
        processes.wait_until(name, f"{name} answers at {url}", partial(api.answers, url), 60)


def _wait_default_account(settings: Settings, processes: Processes) -> None:
    """Without its ServiceAccount the namespace `default` refuses pods."""

    def ready() -> bool:
        return api.get(settings, "serviceaccount", "default", "-n", "default") is not None

    processes.wait_until("controller-manager", "the ServiceAccount default/default exists", ready, 60)


def roles() -> list[dict[str, Any]]:
    """What the API server may do on kubelets (logs, exec) and what CoreDNS may read."""
    reads: list[dict[str, Any]] = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    dns = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "llmtrain-coredns"},
        "rules": reads,
    }
    return [
        dns,
        _binding("llmtrain-coredns", "llmtrain-coredns", "system:coredns"),
        _binding(
            "llmtrain-apiserver-to-kubelets", "system:kubelet-api-admin", "kube-apiserver-kubelet-client"
        ),
    ]


def _binding(name: str, role: str, user: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
