"""Names, folders, ports and addresses of an instance."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from barecluster.console import ClusterError
from barecluster.settings import MAX_NODES, Ports, cache_root, settings_for, state_root


def ports_of(ports: Ports) -> set[int]:
    return {ports.apiserver, ports.etcd, ports.etcd_peer, ports.controller_manager, ports.scheduler}


def test_the_default_instance_has_the_well_known_port() -> None:
    assert settings_for("demo", {}).server == "https://127.0.0.1:6443"


@pytest.mark.parametrize("name", ["itest", "lifecycle", "a", "z9-z9"])
def test_another_instance_meets_neither_the_default_nor_node_ports(name: str) -> None:
    own, demo = ports_of(settings_for(name, {}).ports), ports_of(settings_for("demo", {}).ports)
    assert len(own) == 5
    assert not own & demo
    assert all(20000 <= port < 30000 for port in own)


def test_the_names_that_tests_use_do_not_share_ports() -> None:
    names = ("demo", "itest", "lifecycle", "leaves-nothing")
    taken = [port for name in names for port in ports_of(settings_for(name, {}).ports)]
    assert len(taken) == len(set(taken))


def test_no_node_shares_a_port_an_address_or_a_link_with_another() -> None:
    settings = settings_for("demo", {})
    nodes = [settings.node(number) for number in range(1, MAX_NODES + 1)]
    ports = [port for node in nodes for port in (node.kubelet_port, node.health_port)]
    assert len(set(ports)) == 2 * MAX_NODES
    assert not set(ports) & (ports_of(settings.ports) | {10249, 10256})
    assert all(one.subnet != other.subnet and one.bridge != other.bridge for one, other in pairwise(nodes))
    assert all(len(node.bridge) <= 15 for node in nodes), "the kernel's limit for a link's name"


def test_the_first_node_owns_the_first_subnet() -> None:
    node = settings_for("demo", {}).node(1)
    assert (node.name, node.address, node.subnet) == ("node1", "10.244.0.1", "10.244.0.0/24")


@pytest.mark.parametrize("number", [0, MAX_NODES + 1])
def test_a_node_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ClusterError, match="1 to 9 nodes"):
        settings_for("demo", {}).node(number)


@pytest.mark.parametrize("name", ["", "Demo", "1st", "a/b", "..", "x" * 21])
def test_a_name_that_cannot_be_a_folder_or_a_group_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="--name"):
        settings_for(name, {})


def test_folders_follow_the_environment() -> None:
    assert state_root({}) == Path("/var/lib/llmtrain")
    assert settings_for("x", {"LLMTRAIN_STATE": "/s"}).volume == Path("/s/x/volume")
    assert cache_root({"HOME": "/h"}) == Path("/h/.cache/llmtrain")
    assert cache_root({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/llmtrain")
    assert cache_root({"XDG_CACHE_HOME": "/c", "LLMTRAIN_CACHE": "/own"}) == Path("/own")


def test_known_nodes_are_the_folders_that_are_there(tmp_path: Path) -> None:
    settings = settings_for("x", {"LLMTRAIN_STATE": str(tmp_path)})
    assert settings.known_nodes() == []
    for name in ("node2", "node1", "nodes", "node10"):
        (settings.state / name).mkdir(parents=True)
    assert [node.name for node in settings.known_nodes()] == ["node1", "node2"]
