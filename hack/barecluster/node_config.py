"""The configuration of one node's containerd and kubelet."""

from __future__ import annotations

import json

from barecluster.settings import CLUSTER_DOMAIN, LOOPBACK, Node, Settings

PAUSE_IMAGE = "localhost/llmtrain-pause:1"


def containerd_config(node: Node) -> str:
    """Everything under the node's own folder, so that two can run on one machine and leave nothing elsewhere.

    restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower the score, and no sandbox starts.
    """
    home = node.home
    return f"""\
version = 3
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]

[grpc]
  address = "{node.socket}"
[ttrpc]
  address = "{node.socket}.ttrpc"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{home}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{home}/runc"
"""


def kubelet_config(settings: Settings, node: Node) -> str:
    """Quick heartbeats, so that a lost node is seen in seconds; no image is ever removed to make room."""
    pki = settings.pki
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "port": node.kubelet_port,
        "healthzBindAddress": LOOPBACK,
        "healthzPort": node.health_port,
        "tlsCertFile": str(pki / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(pki / f"{node.name}.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "cgroupRoot": f"/{node.cgroup}",
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "resolvConf": str(node.home / "resolv.conf"),
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [settings.node(1).address],
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "serializeImagePulls": False,
        "volumePluginDir": str(node.home / "kubelet" / "volume-plugins"),
        "podLogsDir": str(node.home / "pod-logs"),
    }
    return json.dumps(config, indent=1)


def kubelet(settings: Settings, node: Node) -> list[str]:
    """The kubelet's arguments."""
    return [
        str(settings.bin / "kubelet"),
        f"--config={node.home / 'kubelet.json'}",
        f"--kubeconfig={settings.pki / f'{node.name}.kubeconfig'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--root-dir={node.home / 'kubelet'}",
        f"--cert-dir={node.home / 'kubelet' / 'pki'}",
        "--v=2",
    ]
