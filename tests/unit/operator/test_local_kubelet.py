"""The kubelet of this machine, with small shell commands as pods."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from llmtrain_operator.local.kubelet.kubelet import Kubelet, PodDirs
from llmtrain_operator.local.kubelet.tokens import PodTokens
from llmtrain_operator.local.memory_api import MemoryApi

DEADLINE = 20.0


def pod(name: str, command: str, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "c",
        "command": ["sh", "-c", command],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "out", "mountPath": "/mnt/o"},
        ],
        "env": [{"name": "OUT", "value": "/mnt/o"}, {"name": "SCRATCH", "value": "/scratch/x"}],
    }
    volumes = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "out", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ]
    container["volumeMounts"].append({"name": "token", "mountPath": "/token"})  # type: ignore[attr-defined]
    return {"metadata": {"name": name}, "spec": {"containers": [container], "volumes": volumes, **spec}}


class Node:
    """A kubelet and its API."""

    def __init__(self, folder: Path) -> None:
        self.api, self.tokens, self.folder = MemoryApi(), PodTokens(), folder
        dirs = PodDirs(folder / "runs", folder / "pods", folder / "logs", {}, dict(os.environ))
        self.kubelet = Kubelet(self.api, dirs, self.tokens)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Node]:
        loop = asyncio.create_task(self.kubelet.run())
        try:
            yield self
        finally:
            await self.kubelet.close()
            loop.cancel()

    async def start(self, name: str, command: str) -> dict[str, Any]:
        return await self.api.create("pods", "d", pod(name, command))

    async def until(self, name: str, *phases: str) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            while True:
                found = await self.api.get("pods", "d", name)
                if found["status"]["phase"] in phases:
                    return found
                await asyncio.sleep(0.01)

    async def ended(self, name: str) -> dict[str, Any]:
        found = await self.until(name, "Succeeded", "Failed")
        told: dict[str, Any] = found["status"]["containerStatuses"][0]["state"]["terminated"]
        return told | {"phase": found["status"]["phase"]}

    async def gone(self, name: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while True:
                listing = await self.api.list("pods", "d", "")
                if not any(orjson.loads(raw)["metadata"]["name"] == name for raw in listing.items):
                    return
                await asyncio.sleep(0.01)


def processes(marker: str) -> list[int]:
    """Processes that live and have this word in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def eventually(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.01)


async def test_exit_code_termination_message_and_log(tmp_path: Path) -> None:
    async with Node(tmp_path).up() as node:
        await node.start("good", "echo hello; echo done > $LLMTRAIN_TERMINATION_LOG; echo kept > $OUT/file")
        await node.start("bad", "echo some words; exit 3")
        await node.start("killed", "kill -9 $$")
        await node.start("silent", "echo to the log only")
        good, bad, killed, silent = [await node.ended(name) for name in ("good", "bad", "killed", "silent")]
        assert (good["phase"], good["exitCode"], good["reason"]) == ("Succeeded", 0, "Completed")
        assert good["message"] == "done\n"
        assert (bad["phase"], bad["exitCode"], bad["message"]) == ("Failed", 3, "some words\n")
        assert killed["exitCode"] == 137
        assert silent["message"] == "", "a log is no message of a success"
        assert (tmp_path / "logs" / "good.log").read_text() == "hello\n"
        assert (tmp_path / "runs" / "claim" / "file").read_text() == "kept\n"
        assert list((tmp_path / "pods").iterdir()) == [], "private folders go with their pods"


async def test_a_pod_has_a_token_that_is_known_as_its_own(tmp_path: Path) -> None:
    async with Node(tmp_path).up() as node:
        made = await node.start(
            "p", "stat -c %a $PWD/token/token > $OUT/mode; cat $PWD/token/token > $OUT/token"
        )
        assert (await node.ended("p"))["exitCode"] == 0
        token = (tmp_path / "runs" / "claim" / "token").read_text()
        assert await node.tokens.identify(token, "") == ("d", "p", made["metadata"]["uid"])
        assert await node.tokens.identify(token + "x", "") is None
        assert (tmp_path / "runs" / "claim" / "mode").read_text() == "600\n"


async def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    async with Node(tmp_path).up() as node:
        broken = pod("p", "true")
        broken["spec"]["volumes"][0] = {"name": "scratch", "hostPath": {}}
        await node.api.create("pods", "d", broken)
        told = await node.ended("p")
        assert told["exitCode"] == 128
        assert "hostPath" in told["message"]


async def test_a_deletion_is_sigterm_and_the_object_stays_until_the_process_has_ended(tmp_path: Path) -> None:
    async with Node(tmp_path).up() as node:
        await node.start(
            "p",
            "trap 'echo saved > $OUT/saved; exit 75' TERM; echo up > $OUT/up; while :; do sleep 0.02; done",
        )
        made = await node.until("p", "Running")
        eventually((tmp_path / "runs" / "claim" / "up").exists, "it came up")
        await node.api.delete("pods", "d", "p", made["metadata"]["uid"], 30)
        await node.gone("p")
        assert (tmp_path / "runs" / "claim" / "saved").exists(), "gone before it could save"


async def test_whoever_ignores_sigterm_is_killed_when_its_grace_is_over(tmp_path: Path) -> None:
    marker = f"3{os.getpid()}.125"
    async with Node(tmp_path).up() as node:
        await node.start(
            "p", f"trap '' TERM; setsid sleep {marker} & echo up > $OUT/up; sleep {marker}; sleep {marker}"
        )
        made = await node.until("p", "Running")
        eventually((tmp_path / "runs" / "claim" / "up").exists, "it came up")
        began = time.monotonic()
        await node.api.delete("pods", "d", "p", made["metadata"]["uid"], 1)
        await node.gone("p")
        assert time.monotonic() - began > 0.9, "killed before its grace time was over"
        assert processes(marker) == [], "a process in a session of its own was left behind"


async def test_a_shorter_grace_time_wins(tmp_path: Path) -> None:
    async with Node(tmp_path).up() as node:
        await node.start("p", "trap '' TERM; echo up > $OUT/up; while :; do sleep 0.05; done")
        uid = (await node.until("p", "Running"))["metadata"]["uid"]
        eventually((tmp_path / "runs" / "claim" / "up").exists, "it came up")
        await node.api.delete("pods", "d", "p", uid, 600)
        await node.api.delete("pods", "d", "p", uid, 1)
        await node.gone("p")


async def test_stop_lets_pods_say_how_they_ended_and_starts_no_other(tmp_path: Path) -> None:
    async with Node(tmp_path).up() as node:
        await node.start("p", "trap 'exit 75' TERM; echo up > $OUT/up; while :; do sleep 0.02; done")
        await node.until("p", "Running")
        eventually((tmp_path / "runs" / "claim" / "up").exists, "it came up")
        await node.kubelet.stop(30)
        assert (await node.ended("p"))["exitCode"] == 75
        await node.start("late", "echo up > $OUT/late")
        assert (await node.ended("late"))["exitCode"] == 128
        assert not (tmp_path / "runs" / "claim" / "late").exists()


async def test_the_end_of_the_first_process_ends_all_others(tmp_path: Path) -> None:
    marker = f"4{os.getpid()}.125"
    async with Node(tmp_path).up() as node:
        await node.start("p", f"setsid sleep {marker} & (sleep {marker} &) ; exit 0")
        assert (await node.ended("p"))["exitCode"] == 0
        assert processes(marker) == []


RUNNER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from unit.operator.test_local_kubelet import Node

async def main():
    node = Node(Path(sys.argv[1]))
    async with node.up():
        one = f"sleep {sys.argv[3]}"
        await node.start("p", f"trap '' TERM; setsid {one} & ({one} &) ; {one}")
        await node.until("p", "Running")
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_kill_9_of_the_runner_leaves_nothing_behind(tmp_path: Path) -> None:
    marker = f"5{os.getpid()}.125"
    tests = str(Path(__file__).resolve().parents[2])
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path), tests, marker], env=env)
    try:
        # the runner, the shim, the shell and three sleeps
        eventually(lambda: len(processes(f"sleep\0{marker}")) == 3, "three sleeps came up")
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    eventually(lambda: processes(marker) == [], f"left behind: {processes(marker)}")
