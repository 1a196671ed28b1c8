"""The kubelet of this machine: it runs each pod of the API in memory as local processes."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog

from llmtrain_api.names import ENV_TERMINATION_LOG

from ...kube.api import ApiError, Object
from ...progress.auth import PodIdentity
from ..memory_api import MemoryApi
from . import volumes
from .container import Container, Task
from .gpus import accelerators, inherited
from .ports import free_port
from .tokens import PodTokens
from .volumes import Mounts, VolumeRoots

NODE = "localhost"
CANNOT_START = 128
MESSAGE = "termination-log"
CLOSE_SECONDS = 20.0
log = structlog.get_logger()


@dataclass(frozen=True)
class PodDirs:
    """Where pods live.

    Attributes:
        claims: folder of the claims.
        pods: folder of the pods' private folders.
        logs: folder of their logs, which stay.
        instead: see `VolumeRoots`.
        environ: what they inherit.
        gpus: what they may share out.
    """

    claims: Path
    pods: Path
    logs: Path
    instead: Mapping[str, Path]
    environ: Mapping[str, str]
    gpus: tuple[str, ...] = ()


@dataclass
class _Pod:
    """A pod that was seen, from before it starts until its object is gone."""

    name: str
    namespace: str
    uid: str
    life: asyncio.Task[None] | None = None
    container: Container | None = None
    deleted: bool = False
    started: str = field(default_factory=lambda: _now())


class Kubelet:
    """Starts pods that are pending, tells how they end, ends those that are deleted."""

    def __init__(self, api: MemoryApi, dirs: PodDirs, tokens: PodTokens) -> None:
        self._api = api
        self._ground = dirs
        self._tokens = tokens
        self._pods: dict[str, _Pod] = {}
        self._ports: dict[str, int] = {}
        self._closing = False

    async def run(self) -> None:
        """Follow the API. Pods that run go on when this is cancelled: see `stop` and `close`."""
        listing = await self._api.list("pods", "", "")
        for raw in listing.items:
            self._see("ADDED", orjson.loads(raw))
        async for event in self._api.watch("pods", "", "", listing.resource_version):
            self._see(event.kind, orjson.loads(event.object))

    async def stop(self, grace: float) -> None:
        """Ask every pod to end and wait until it has; its object stays and tells how. None is started."""
        self._closing = True
        for pod in self._pods.values():
            if pod.container is not None:
                pod.container.terminate(grace)
        await self._ended()

    def kill(self) -> None:
        """End every process now."""
        self._closing = True
        for pod in self._pods.values():
            if pod.container is not None:
                pod.container.kill()

    async def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        await asyncio.wait_for(self._ended(), CLOSE_SECONDS)
        shutil.rmtree(self._ground.pods, ignore_errors=True)

    async def _ended(self) -> None:
        lives = [pod.life for pod in self._pods.values() if pod.life is not None]
        await asyncio.gather(*lives, return_exceptions=True)

    def _see(self, kind: str, found: Object) -> None:
        meta = found["metadata"]
        pod = self._pods.get(meta["uid"])
        if kind == "DELETED":
            if pod is not None:
                pod.deleted = True
                self._pods.pop(pod.uid)
                if pod.container is not None:
                    pod.container.kill()
            return
        if pod is None:
            pod = _Pod(meta["name"], meta["namespace"], meta["uid"])
            self._pods[pod.uid] = pod
            pod.life = asyncio.create_task(self._live(pod, found))
        pod.deleted = pod.deleted or "deletionTimestamp" in meta
        if pod.deleted and pod.container is not None:
            pod.container.terminate(float(meta.get("deletionGracePeriodSeconds", 0)))

    async def _live(self, pod: _Pod, found: Object) -> None:
        """A pod's whole life."""
        folder = self._ground.pods / f"{pod.name}-{pod.uid[:8]}"
        try:
            code, reason, message = await self._run(pod, found, folder)
        except (OSError, ValueError, KeyError, ApiError) as error:
            log.warning("pod-not-started", pod=pod.name, reason=str(error))
            code, reason, message = CANNOT_START, "StartError", f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        log.info("pod-ended", pod=pod.name, exit_code=code, deleted=pod.deleted)
        await self._tell(pod, ended(pod.started, code, reason, message))
        if pod.deleted:
            await self._remove(pod)

    async def _run(self, pod: _Pod, found: Object, folder: Path) -> tuple[int, str, str]:
        self._api.bind(pod.namespace, pod.name, NODE)
        task = await self._prepare(found, folder)
        if self._closing or pod.deleted:
            raise ValueError("asked to end before it was started")
        container = await Container.start(task)
        pod.container, pod.started = container, _now()
        if pod.deleted or self._closing:
            container.kill()
        log.info("pod-started", pod=pod.name, command=task.command)
        await self._tell(pod, running(pod.started))
        code = await container.wait()
        return code, "Error" if code else "Completed", container.last_words(code)

    async def _prepare(self, found: Object, folder: Path) -> Task:
        """Make the pod's folders and files; what is to be started."""
        namespace = found["metadata"]["namespace"]
        configs = {
            volume: await self._api.get("configmaps", namespace, name)
            for volume, name in volumes.config_maps(found).items()
        }
        at = volumes.mounts(found, VolumeRoots(self._ground.claims, folder, self._ground.instead))
        self._lay_out(found, folder, at, configs)
        env = {
            **inherited(self._ground.environ),
            **accelerators(found, self._ground.gpus),
            **volumes.environment(found, at),
            ENV_TERMINATION_LOG: str(folder / MESSAGE),
        }
        policy = found["spec"]["containers"][0].get("terminationMessagePolicy")
        return Task(
            command=volumes.command(found, at, sys.executable),
            env=env,
            folder=folder,
            log=self._ground.logs / f"{found['metadata']['name']}.log",
            message=folder / MESSAGE,
            fall_back_to_log=policy == "FallbackToLogsOnError",
        )

    def _lay_out(self, found: Object, folder: Path, at: Mounts, configs: Mapping[str, Object]) -> None:
        folder.mkdir(parents=True)
        for mount in at.volumes:
            if mount.made:
                mount.folder.mkdir(parents=True, exist_ok=True)
        for volume, config in configs.items():
            # the ranks of an attempt share a ConfigMap, and so the port where they meet
            uid = config["metadata"]["uid"]
            port = self._ports[uid] = self._ports.get(uid) or free_port()
            for file, text in volumes.config_files(config.get("data", {}), at, port).items():
                (folder / volume / file).write_text(text)
        for volume, file in volumes.token_paths(found):
            path = folder / volume / file
            path.touch(mode=0o600)
            meta = found["metadata"]
            holder = PodIdentity(meta["namespace"], meta["name"], meta["uid"])
            path.write_text(self._tokens.issue(holder))

    async def _tell(self, pod: _Pod, status: Object) -> None:
        try:
            await self._api.patch_status("pods", pod.namespace, pod.name, {"status": status})
        except ApiError as error:
            if error.status != 404:
                raise

    async def _remove(self, pod: _Pod) -> None:
        try:
            await self._api.delete("pods", pod.namespace, pod.name, pod.uid, 0)
        except ApiError as error:
            # gone already, or another pod has the name by now
            if error.status not in (404, 409):
                raise


def running(since: str) -> Object:
    """``status`` of a pod that runs."""
    return {"phase": "Running", "containerStatuses": [_container({"running": {"startedAt": since}})]}


def ended(since: str, code: int, reason: str, message: str) -> Object:
    """``status`` of a pod that has ended."""
    terminated = {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "startedAt": since,
        "finishedAt": _now(),
    }
    phase = "Failed" if code else "Succeeded"
    return {"phase": phase, "containerStatuses": [_container({"terminated": terminated})]}


def _container(state: Object) -> Object:
    return {"name": "trainer", "ready": "running" in state, "restartCount": 0, "state": state}


def _now() -> str:
    return datetime.now(UTC).isoformat()
