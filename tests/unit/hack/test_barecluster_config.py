"""The configuration that each program gets."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import yaml

from barecluster import components, network, node_config, volume
from barecluster.settings import REPOSITORY, settings_for

SETTINGS = settings_for("demo", {"LLMTRAIN_STATE": "/s"})


def test_the_audit_log_tells_who_wrote_what_the_tests_count() -> None:
    written, rest = components.audit_policy()["rules"]
    assert written["level"] == "Metadata"
    assert set(written["verbs"]) == {"create", "update", "patch", "delete"}
    assert {"group": "llmtrain.dev"} in written["resources"]
    assert {"pods", "configmaps", "services"} <= set(written["resources"][0]["resources"])
    assert rest == {"level": "None"}


def test_a_control_plane_alone_is_seen_from_this_machine_only() -> None:
    alone = components.apiserver(SETTINGS, with_nodes=False)
    assert "--bind-address=127.0.0.1" in alone
    assert "--advertise-address=127.0.0.1" in alone
    assert "--advertise-address=10.244.0.1" in components.apiserver(SETTINGS, with_nodes=True)


def test_authorization_is_as_on_a_real_cluster() -> None:
    words = components.apiserver(SETTINGS, with_nodes=True)
    assert "--authorization-mode=Node,RBAC" in words
    assert "--enable-admission-plugins=NodeRestriction" in words


def test_containerd_keeps_everything_in_its_nodes_folder() -> None:
    first, second = (tomllib.loads(node_config.containerd_config(SETTINGS.node(number))) for number in (1, 2))
    assert first["root"] == "/s/demo/node1/root"
    assert first["grpc"]["address"] != second["grpc"]["address"]
    runtime = first["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["containerd"]["runtimes"]["runc"]["options"] == {
        "SystemdCgroup": False,
        "Root": "/s/demo/node1/runc",
    }


def test_the_kubelet_runs_under_both_cgroup_versions() -> None:
    config = json.loads(node_config.kubelet_config(SETTINGS, SETTINGS.node(2)))
    assert config["failCgroupV1"] is False
    assert config["cgroupDriver"] == "cgroupfs"
    assert config["cgroupRoot"] == "/llmtrain-demo-node2"
    assert config["clusterDNS"] == ["10.244.0.1"]


def test_pods_see_each_other_without_masquerading() -> None:
    (bridge,) = network.cni_config(SETTINGS.node(2))["plugins"]
    assert bridge["ipMasq"] is False
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


def test_names_outside_go_to_the_machines_resolvers_or_nowhere() -> None:
    found = components.parse_resolvers("# x\nsearch a.b\nnameserver 1.1.1.1\nnameserver ::1\n")
    assert found == "1.1.1.1 ::1"
    assert "forward . 1.1.1.1 ::1" in components.corefile(SETTINGS, found)
    assert "rcode NXDOMAIN" in components.corefile(SETTINGS, components.parse_resolvers(""))


def test_the_volume_and_its_claim_name_each_other() -> None:
    held, claim = volume.objects("/s/demo/volume")
    assert held["spec"]["claimRef"]["name"] == claim["metadata"]["name"] == "checkpoints"
    assert claim["spec"]["volumeName"] == held["metadata"]["name"]
    assert held["spec"]["accessModes"] == claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_kind_has_two_workers_that_share_one_folder() -> None:
    config = yaml.safe_load((REPOSITORY / "kind-config.yaml").read_text())
    assert (config["kind"], config["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    workers = [node for node in config["nodes"] if node["role"] == "worker"]
    mounts = [node["extraMounts"] for node in workers]
    assert len(workers) == 2
    assert mounts[0] == mounts[1]
    assert Path(mounts[0][0]["containerPath"]).is_absolute()
    assert mounts[0][0]["containerPath"] in (REPOSITORY / "hack" / "kind").read_text()
