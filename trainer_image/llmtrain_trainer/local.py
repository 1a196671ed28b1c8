"""``try``: the same manifest on this machine, without Kubernetes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import yaml

from llmtrain_api import (
    IfExists,
    InvalidJob,
    JobFile,
    JobIdentity,
    JobSpec,
    Metadata,
    Rendezvous,
    Results,
    parse_manifest,
)
from llmtrain_api.names import ENV_HOLDER, ENV_METRICS_PORT, ENV_NODE_RANK, EXIT_INTERRUPTED

from . import launcher
from .checkpoint.ownership import owned
from .files import read_json, write_json

RUN = "run.json"
MOST_PROCESSES = 2


def run(manifest: str, output: str | None, processes: int | None) -> int:
    """Run a manifest here; the exit code: 2 for mistakes in it, 75 when stopped with a checkpoint."""
    try:
        metadata, spec = parse_manifest(yaml.safe_load(Path(manifest).read_text()))
    except (OSError, yaml.YAMLError) as error:
        print(f"{manifest}: {error}", file=sys.stderr)
        return 2
    except InvalidJob as invalid:
        for mistake in invalid.mistakes:
            print(f"{manifest}: {mistake}", file=sys.stderr)
        return 2
    began = time.monotonic()
    wanted = processes or min(spec.world_size, MOST_PROCESSES)
    folder = Path(output).resolve() if output else local_folder(spec.output.uri)
    state = _state(folder, metadata, spec)
    print(
        f"{metadata.name}: the same manifest on this machine, without Kubernetes: torchrun with {wanted} "
        f"process{'es' if wanted > 1 else ''} (the manifest asks for {spec.nodes} x {spec.local_world_size})"
    )
    print(f"output: {folder}   Ctrl-C saves a checkpoint and stops\n")
    job = _job(metadata, spec, wanted, folder, state)
    path = Path(job.scratch) / "job.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(job.to_json()))
    code = _launch(path)
    shutil.rmtree(job.scratch, ignore_errors=True)
    _say_end(code, job, time.monotonic() - began)
    return code


def local_folder(uri: str) -> Path:
    """``pvc://CLAIM/FOLDER`` -> ``./runs/CLAIM/FOLDER``; ``file:///FOLDER`` as it is."""
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return Path("runs", *uri.removeprefix("pvc://").strip("/").split("/")).resolve()


def _state(folder: Path, metadata: Metadata, spec: JobSpec) -> dict[str, Any]:
    """UID and attempt of the run in this folder: the same until it is complete, so that it resumes."""
    state = read_json(folder / RUN) or {}
    uid = state.get("jobUid")
    done = any(
        (read_json(root / "COMPLETE") or {}).get("jobUid") == uid
        for root in (folder, folder.with_name(f"{folder.name}-{str(uid)[:8]}"))
    )
    if uid is None or (done and spec.output.if_exists is not IfExists.FAIL):
        # a finished run is what another job has written: ifExists says what a new one does with it
        state = {"jobUid": str(uuid.uuid4()), "name": metadata.name, "attempt": -1}
    state["attempt"] += 0 if done and state.get("jobUid") == uid else 1
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RUN, state)
    return state


def _job(metadata: Metadata, spec: JobSpec, processes: int, folder: Path, state: dict[str, Any]) -> JobFile:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uid = state["jobUid"]
    fitted = spec.model_copy(update={"nodes": 1, "gpus_per_node": 0, "processes_per_node": processes})
    named = spec.dataset.name
    return JobFile(
        job=JobIdentity(name=metadata.name, namespace="local", uid=uid),
        attempt=max(state["attempt"], 0),
        spec=fitted,
        rendezvous=Rendezvous(master_address="127.0.0.1", master_port=port, id=f"{uid}-{state['attempt']}"),
        output=str(folder),
        dataset=str(local_folder(named)) if named.startswith("pvc://") else None,
        scratch=str(folder / f".scratch-{os.getpid()}"),
    )


def _launch(path: Path) -> int:
    os.environ.update({ENV_NODE_RANK: "0", ENV_HOLDER: uuid.uuid4().hex})
    os.environ.setdefault(ENV_METRICS_PORT, "0")
    return launcher.launch(str(path), human=True)


def _say_end(code: int, job: JobFile, seconds: float) -> None:
    output = owned(job)
    if code == EXIT_INTERRUPTED:
        saved = output.committed() if output else []
        print(f"\nstopped; step {saved[0] if saved else 0} is saved. To go on, run the same command again:")
        print(f"  python -m llmtrain_trainer {shlex.join(sys.argv[1:])}")
    if code or output is None:
        return
    raw = read_json(output.results)
    with contextlib.suppress(ValueError):
        _say_results(Results.model_validate(raw), output.root, seconds)


def _say_results(results: Results, root: Path, seconds: float) -> None:
    loss, entropy = results.eval_loss or 0.0, results.unigram_entropy or 0.0
    print(f"\ndone in {seconds:.0f} s: {results.steps} steps")
    print(f"  held-out loss     {loss:.3f} nat a token, perplexity {results.perplexity:.2f}")
    print(f"  unigram entropy   {entropy:.3f} nat a token, so {entropy - loss:.3f} was learnt beyond counts")
    sample = re.sub(r"\n", "\n    ", (results.sample or "").strip())
    print(f"  sample\n    {sample}\n")
    for name, text in (
        ("export", "Hugging Face folder: AutoModelForCausalLM.from_pretrained(...)"),
        ("checkpoints", "newest steps, each with a manifest"),
        ("logs", "every rank's log and metrics.jsonl"),
        ("results.json", "these numbers"),
    ):
        print(f"  {root / name}  {text}")
