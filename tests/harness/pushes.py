"""An export that is ready to be pushed to a registry, and the push of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.builders import UID, job
from harness.registry import Registry, registry
from llmtrain_api import JobFile, PublishedResult, Results
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.export import publish as publishing
from llmtrain_trainer.files import write_json
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import OwnerRecord
from llmtrain_trainer.storage.start_marker import Start

REPOSITORY = "team/model"
WEIGHTS = b"weights " * 4000
OTHER = "22222222-aaaa-4bbb-8ccc-000000000000"


@contextmanager
def registry_for_its_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry, and the Secret of who may push to it; nobody is logged in on this machine."""
    with registry(folder / "registry") as made:
        monkeypatch.setenv("PUBLISH_username", made.user)
        monkeypatch.setenv("PUBLISH_password", made.password)
        monkeypatch.setenv("HOME", str(folder / "nobody"))
        monkeypatch.delenv("DOCKER_CONFIG", raising=False)
        yield made


def exported(folder: Path, host: str) -> tuple[JobFile, Start]:
    """A job that is to be pushed to a registry, and its start, with the export."""
    asked = job(folder, output={"publish": {"oci": f"{host}/{REPOSITORY}"}})
    return asked, start_of(folder, asked)


def asked_of(server: Registry, folder: Path, uid: str = UID, **publish: object) -> JobFile:
    return job(folder, uid=uid, output={"publish": {"oci": f"{server.host}/{REPOSITORY}", **publish}})


def start_of(folder: Path, asked: JobFile) -> Start:
    output = Output(folder)
    folder.mkdir(exist_ok=True)
    output.fence.unlink(missing_ok=True)
    write_json(output.owner, OwnerRecord(job_uid=asked.job.uid).to_json())
    write_json(output.results, Results(steps=40, exported_step=30).to_json())
    output.export.mkdir(exist_ok=True)
    (output.export / "adapter").mkdir(exist_ok=True)
    (output.export / "adapter" / "adapter_model.safetensors").write_bytes(b"adapter")
    (output.export / "model.safetensors").write_bytes(WEIGHTS)
    (output.export / "config.json").write_text("{}")
    (output.export / "README.md").write_text("# A model\n")
    return Start(raise_fence(output, asked, "pod"), None, {"data": "ab" * 32})


def push(server: Registry, folder: Path, waits: list[float] | None = None, **publish: Any) -> PublishedResult:
    asked = asked_of(server, folder, **publish)
    start = start_of(folder, asked)
    sleep = (lambda _: None) if waits is None else waits.append
    return publishing.publish(asked, start, sleep)
