"""The arguments and configuration of each control plane program."""

from __future__ import annotations

import json
from typing import Any

from barecluster.settings import LOOPBACK, POD_CIDR, SERVICE_CIDR, Settings

AUDITED = (
    {"group": "", "resources": ["pods", "configmaps", "services"]},
    {"group": "llmtrain.dev"},
)
ISSUER = "https://kubernetes.default.svc.cluster.local"


def audit_policy() -> dict[str, Any]:
    """Who wrote which of the objects that tests count: metadata only, no reads, no bodies."""
    written = {
        "level": "Metadata",
        "verbs": ["create", "update", "patch", "delete"],
        "resources": list(AUDITED),
    }
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [written, {"level": "None"}],
    }


def etcd(settings: Settings) -> list[str]:
    """No fsync: the data does not outlive `down`, and integration tests start this often."""
    client, peer = (f"http://{LOOPBACK}:{port}" for port in (settings.ports.etcd, settings.ports.etcd_peer))
    return [
        str(settings.bin / "etcd"),
        f"--name={settings.name}",
        f"--data-dir={settings.state / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={settings.name}={peer}",
        "--unsafe-no-fsync",
    ]


GANGS = "--feature-gates=GenericWorkload=true"
"""Kubernetes' own gang scheduling, by PodGroups: in 1.37 it is there, and off unless asked for."""


def apiserver(settings: Settings, *, with_nodes: bool) -> list[str]:
    """With nodes it listens where pods reach it; without, on the loopback address alone."""
    pki = settings.pki
    return [
        str(settings.bin / "kube-apiserver"),
        f"--etcd-servers=http://{LOOPBACK}:{settings.ports.etcd}",
        f"--secure-port={settings.ports.apiserver}",
        *_where(settings, with_nodes),
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
        f"--audit-policy-file={settings.state / 'audit-policy.json'}",
        f"--audit-log-path={settings.logs / 'audit.log'}",
        "--audit-log-maxsize=500",
        "--audit-log-maxbackup=1",
        f"--cert-dir={settings.run}",
        "--runtime-config=scheduling.k8s.io/v1beta1=true",
        GANGS,
    ]


def _where(settings: Settings, with_nodes: bool) -> list[str]:
    if with_nodes:
        return ["--bind-address=0.0.0.0", f"--advertise-address={settings.node(1).address}"]
    # A loopback address may not become the endpoint of the Service `kubernetes`, which no pod would use here.
    own = f"--bind-address={LOOPBACK}", f"--advertise-address={LOOPBACK}"
    return [*own, "--endpoint-reconciler-type=none"]


def controller_manager(settings: Settings) -> list[str]:
    """A lost node is noticed in 10 s instead of 40; 20 requests a second would make it start in 10 s."""
    pki = settings.pki
    return [
        str(settings.bin / "kube-controller-manager"),
        *_client(settings, "controller-manager", settings.ports.controller_manager),
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        "--use-service-account-credentials=true",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=10s",
        GANGS,
    ]


def scheduler(settings: Settings) -> list[str]:
    """The scheduler with its default profile."""
    return [
        str(settings.bin / "kube-scheduler"),
        *_client(settings, "scheduler", settings.ports.scheduler),
        GANGS,
    ]


def _client(settings: Settings, identity: str, port: int) -> list[str]:
    config = settings.pki / f"{identity}.kubeconfig"
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--leader-elect=false",
        f"--cert-dir={settings.run}",
    ]


def proxy_config(settings: Settings) -> str:
    """One kube-proxy serves all nodes, as they share the machine's packet filter."""
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": settings.node(1).name,
        "clusterCIDR": POD_CIDR,
        "clientConnection": {"kubeconfig": str(settings.pki / "proxy.kubeconfig")},
        # Zero leaves the kernel's own limits: they need not be writable.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "healthzBindAddress": f"{LOOPBACK}:10256",
        "metricsBindAddress": f"{LOOPBACK}:10249",
    }
    return json.dumps(config, indent=1)


def corefile(settings: Settings, resolvers: str) -> str:
    """Cluster names from the API (a short ttl: pods come and go), others from the machine's own resolvers."""
    outside = f"forward . {resolvers}" if resolvers else "template ANY ANY {\n    rcode NXDOMAIN\n  }"
    return f"""\
.:53 {{
  bind {settings.node(1).address}
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {settings.pki / "coredns.kubeconfig"}
    pods insecure
    ttl 2
  }}
  {outside}
}}
"""


def parse_resolvers(resolv_conf: str) -> str:
    """The addresses of the machine's name servers, parted by blanks."""
    rows = (line.split() for line in resolv_conf.splitlines())
    return " ".join(row[1] for row in rows if len(row) > 1 and row[0] == "nameserver")
