"""A node's power: which node is meant, what counts as off and as Ready, and what dies in which order."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from barecluster import api, lifecycle, nodes, power
from barecluster.__main__ import node_number, parser
from barecluster.console import ClusterError
from barecluster.process import Processes, start_time
from barecluster.settings import Settings, settings_for

CUT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # nothing here needs root's rights
    return settings_for("demo", {"LLMTRAIN_STATE": str(tmp_path)})


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        yield child
        child.kill()


def record(settings: Settings, name: str, pid: int | None = None) -> None:
    """A process of the instance that runs under this pid, or ended."""
    settings.run.mkdir(parents=True, exist_ok=True)
    entry: dict[str, object] = {"pid": pid or 1, "started": pid and start_time(pid), "wanted": []}
    (settings.run / f"{name}.json").write_text(json.dumps(entry))


def brought_up(settings: Settings, *numbers: int) -> None:
    record(settings, "apiserver")
    for number in numbers:
        settings.node(number).home.mkdir(parents=True)
        record(settings, f"containerd-node{number}")
        record(settings, f"kubelet-node{number}")


@pytest.mark.parametrize("words", ["2", "node2"])
@pytest.mark.parametrize("verb", ["node-kill", "node-start"])
def test_a_node_is_meant_by_its_number_or_its_name(verb: str, words: str) -> None:
    assert parser().parse_args([verb, words]).node == 2


@pytest.mark.parametrize("words", ["", "two", "node", "-1", "2.0", "n2"])
def test_what_is_no_node_is_refused(words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="say 2 or node2"):
        node_number(words)


@pytest.mark.parametrize("act", [power.kill, power.start])
def test_a_cluster_that_is_down_has_no_node_to_act_on(act: object, settings: Settings) -> None:
    with pytest.raises(ClusterError, match=r"'demo' is down: `hack/cluster --name demo up` first"):
        act(settings, 2)  # type: ignore[operator]


@pytest.mark.parametrize("act", [power.kill, power.start])
@pytest.mark.parametrize("number", [0, 3, 10])
def test_a_node_that_is_not_there_is_named_with_those_that_are(
    act: object, number: int, settings: Settings
) -> None:
    brought_up(settings, 1, 2)
    with pytest.raises(ClusterError, match=f"no node {number} in 'demo'; its nodes: node1, node2"):
        act(settings, number)  # type: ignore[operator]


def test_a_control_plane_alone_has_no_nodes(settings: Settings) -> None:
    brought_up(settings)
    with pytest.raises(ClusterError, match="a control plane alone"):
        power.kill(settings, 1)


def test_a_node_is_off_when_neither_daemon_runs(settings: Settings, sleeper: subprocess.Popen[bytes]) -> None:
    brought_up(settings, 1)
    node, processes = settings.node(1), Processes(settings.run, settings.logs)
    assert lifecycle.is_node_off(processes, node)
    for name in ("containerd-node1", "kubelet-node1"):
        record(settings, name, sleeper.pid)
        assert not lifecycle.is_node_off(processes, node)
        record(settings, name)


def condition(status: str, heartbeat: str) -> dict[str, object]:
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat}
    return {"status": {"conditions": [{"type": "DiskPressure", "status": "False"}, ready]}}


@pytest.mark.parametrize(
    ("node", "ready"),
    [
        ({}, False),
        (condition("Unknown", "2026-01-02T03:04:09Z"), False),
        (condition("True", "2026-01-02T03:04:04Z"), False),  # from before the cut
        (condition("True", "2026-01-02T03:04:05Z"), True),
    ],
)
def test_only_a_heartbeat_after_the_start_counts(node: dict[str, object], ready: bool) -> None:
    assert nodes.reports_ready(node, CUT) is ready


def test_a_start_ends_with_a_heartbeat_of_its_own(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, sleeper: subprocess.Popen[bytes]
) -> None:
    brought_up(settings, 1, 2)
    record(settings, "kubelet-node2", sleeper.pid)
    answers = [condition("True", "2020-01-01T00:00:00Z"), {}, condition("True", "2100-01-01T00:00:00Z")]
    monkeypatch.setattr(nodes, "prepare", lambda *_: None)
    monkeypatch.setattr(nodes, "start", lambda *_: None)
    monkeypatch.setattr(api, "get", lambda *_: answers.pop(0))
    power.start(settings, 2)
    assert answers == [], "the heartbeat from before the cut does not count"


def test_without_a_time_any_heartbeat_counts() -> None:
    assert nodes.reports_ready(condition("True", "2020-01-01T00:00:00Z"), None)


def test_the_kubelet_dies_first_and_what_the_daemons_started_dies_with_them(settings: Settings) -> None:
    brought_up(settings, 1)
    script = "sleep 60 & echo $!; wait"
    argv = ["/bin/sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        record(settings, "kubelet-node1", daemon.pid)
        processes, node = Processes(settings.run, settings.logs), settings.node(1)
        doomed = power.pids_of(processes, node)
        assert doomed[0] == daemon.pid
        assert child in doomed
        assert os.getpid() not in doomed
        power.kill_all("node1", lambda: [pid for pid in (daemon.pid, child) if start_time(pid) is not None])
        assert daemon.wait(10) == -signal.SIGKILL
    assert start_time(child) is None


def test_a_process_that_appears_while_others_die_dies_too() -> None:
    script = ["/bin/sleep", "60"]
    with subprocess.Popen(script) as first, subprocess.Popen(script) as late:
        rounds: list[int] = []

        def remaining() -> list[int]:
            rounds.append(1)
            seen = (first,) if len(rounds) == 1 else (first, late)
            return [child.pid for child in seen if start_time(child.pid) is not None]

        power.kill_all("node1", remaining)
        assert (first.wait(10), late.wait(10)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_what_does_not_die_is_told_with_its_pid() -> None:
    with pytest.raises(ClusterError, match=r"processes \[4194305\] of node1 do not end"):
        power.kill_all("node1", lambda: [4_194_305], seconds=0.2)
