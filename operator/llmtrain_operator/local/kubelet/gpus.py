"""What this machine has, and what its processes see of it."""

from __future__ import annotations

import os
import site
from collections.abc import Mapping
from pathlib import Path

from llmtrain_api.names import ENV_METRICS_PORT, LABEL_RANK

from ...kube.api import Object


def gpus(environ: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> tuple[str, ...]:
    """Identities of the GPUs that may be used, without asking a driver."""
    found = sorted(path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*"))
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not found:
        return tuple(found)
    return tuple(word.strip() for word in visible.split(",") if word.strip())


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """This program's environment as its pods get it, whatever folder they run in and call home."""
    env = dict(environ)
    path = env.get("PYTHONPATH", "")
    if path:
        env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in path.split(os.pathsep) if part)
    if site.ENABLE_USER_SITE:
        env["PYTHONUSERBASE"] = site.getuserbase()
    for name, place in _logins(env).items():
        env.setdefault(name, place)
    for name in ("no_proxy", "NO_PROXY"):
        env[name] = ",".join(part for part in (env.get(name, ""), "localhost,127.0.0.1") if part)
    # two pods must not want one port, and all ranks are here: no address of a changing network is needed
    env.setdefault(ENV_METRICS_PORT, "0")
    env.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return env


def _logins(environ: Mapping[str, str]) -> dict[str, str]:
    """Where ``hf auth login`` and ``docker login`` have left who this is: in a home that is not the pods'."""
    cache = environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    hub = environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return {"HF_TOKEN_PATH": os.path.join(hub, "token"), "DOCKER_CONFIG": os.path.expanduser("~/.docker")}


def threads(ranks: int) -> str:
    """Threads that each of a job's ranks computes in: they share this machine's cores.

    What a pod would ask of a cluster does not count here, where nobody else's pods are.
    """
    return str(max(1, len(os.sched_getaffinity(0)) // ranks))


def accelerators(pod: Object, have: tuple[str, ...]) -> dict[str, str]:
    """The GPUs of one pod: ranks share them out in order; a pod that asks for none sees none."""
    limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
    count = int(limits.get("nvidia.com/gpu", 0))
    if not count:
        return {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    first = int(pod["metadata"].get("labels", {}).get(LABEL_RANK, 0)) * count
    return {"CUDA_VISIBLE_DEVICES": ",".join(have[first : first + count])}
