"""``llmtrain check``: what a job will be and whether it may be, before anything is started or paid for."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from llmtrain_api import (
    Job,
    JobSpec,
    JobStatus,
    Metadata,
    ModelFacts,
    Resolved,
    Setup,
    SetupStage,
    changed,
    shape_of,
)
from llmtrain_api.catalogue import known_shape
from llmtrain_api.names import EXIT_CONFIG, JOB_FILE
from llmtrain_api.rules import early_mistake, mistake

from ..kube.api import Object
from ..manifests.config import setup_config_map
from ..manifests.pod import setup_pod
from ..plan.resolved import resolve
from ..types import PlanSettings
from .check_text import data_of, lines_of
from .exit_codes import DONE, FAILED, MISTAKE
from .kubelet.volumes import VolumeRoots, job_file, mounts
from .manifest_file import Refused, parsed
from .saved_jobs import IMAGE

NO_TRAINER = "the trainer is not installed here: pip install 'llm-training-operator[operator,trainer]'"
SETTINGS = PlanSettings(trainer_image=IMAGE, report_url="", ca_certificate="")
UNKNOWN = "0" * 64
"""Digest of a model that nobody has looked at."""
ANY_PORT = 1
"""Nobody meets here."""


@dataclass(frozen=True)
class CheckRequest:
    """What the command line asks for.

    Attributes:
        manifest: YAML of the job.
        runs: where claims lie on this machine.
        data: whether to look at the data too.
    """

    manifest: Path
    runs: Path
    data: bool


class Unreachable(Exception):
    """Something could not be looked at, which says nothing about the manifest."""


def check(request: CheckRequest, out: TextIO) -> int:
    """Say what the job will be.

    Returns:
        The exit code: 0 it may run, 1 something could not be looked at, 2 refused.
    """
    try:
        document, metadata, spec, note, _ = parsed(request.manifest)
        with tempfile.TemporaryDirectory(prefix="llmtrain-check-") as private:
            look = _Look(document, metadata, spec, request, Path(private))
            resolved = look.resolved()
            shape = resolved.model.shape if resolved.model else shape_of(spec)
            for line in lines_of(metadata, spec, shape, resolved):
                print(line, file=out)
            if note:
                print(f"runtime       {note}", file=out)
            if not request.data:
                return DONE
            out.flush()
            return look.at_data(resolved)
    except Refused as refused:
        for reason in refused.reasons:
            print(f"{request.manifest}: {reason}", file=sys.stderr)
        return MISTAKE
    except Unreachable as error:
        print(f"{request.manifest}: {error}", file=sys.stderr)
        return FAILED


def check_data(request: CheckRequest) -> tuple[int, Object]:
    """What `check` says, for programs: the exit code, and a value of JSON."""
    try:
        document, metadata, spec, note, _ = parsed(request.manifest)
        found: Object = {"name": metadata.name, "accepted": True, "mistakes": []}
        with tempfile.TemporaryDirectory(prefix="llmtrain-check-") as private:
            resolved = _Look(document, metadata, spec, request, Path(private)).resolved()
        shape = resolved.model.shape if resolved.model else shape_of(spec)
        return DONE, found | data_of(spec, shape, resolved) | ({"runtime": note} if note else {})
    except Refused as refused:
        return MISTAKE, {"accepted": False, "mistakes": list(refused.reasons)}
    except Unreachable as error:
        return FAILED, {"accepted": None, "mistakes": [], "unreachable": str(error)}


class _Look:
    """Runs the trainer's verbs as pods before a gang would run them, with this machine's folders as claims.

    Args:
        document: the manifest.
        metadata: of it.
        spec: of it, understood.
        request: where claims lie, and whether the data are looked at, which takes the model's tokenizer.
        private: folder for what the verbs need, and nobody keeps.
    """

    def __init__(
        self, document: Object, metadata: Metadata, spec: JobSpec, request: CheckRequest, private: Path
    ) -> None:
        self._document, self._metadata, self._spec = document, metadata, spec
        self._runs, self._private, self._needs_model = request.runs, private, request.data

    def resolved(self) -> Resolved:
        """What defaults and arithmetic make of the job.

        Raises:
            Refused: the rules refuse it, now that its model is known.
            Unreachable: the model cannot be reached.
        """
        if self._spec.model.builtin is not None:
            return resolve(self._spec, shape_of(self._spec), IMAGE)
        if wrong := early_mistake(self._spec):
            raise Refused(wrong)
        try:
            facts = self._facts()
        except Unreachable as error:
            shape = known_shape(self._spec.model)
            if shape is None or self._needs_model:
                raise
            print(f"{self._metadata.name}: {error}; what follows is by the catalogue", file=sys.stderr)
            return changed(resolve(self._spec, shape, IMAGE), model=ModelFacts(shape=shape, digest=UNKNOWN))
        if wrong := mistake(self._spec, facts.shape):
            raise Refused(wrong)
        return changed(resolve(self._spec, facts.shape, IMAGE), model=facts)

    def at_data(self, resolved: Resolved) -> int:
        """Let the trainer print what the data look like; the exit code."""
        command = self._command("preview", self._job_file(SetupStage.PREPARE, resolved))
        code = subprocess.run(command, env=_environment(), stdin=subprocess.DEVNULL, check=False).returncode
        return {0: DONE, EXIT_CONFIG: MISTAKE}.get(code, FAILED)

    def _facts(self) -> ModelFacts:
        command = self._command("inspect", self._job_file(SetupStage.INSPECT, None))
        done = subprocess.run(
            command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return ModelFacts.model_validate(json.loads(done.stdout))
        words = [line.removeprefix("error: ") for line in done.stderr.strip().splitlines() if line.strip()]
        why = words[-1] if words else f"the inspection of the model ended with {done.returncode}"
        raise Refused(why) if done.returncode == EXIT_CONFIG else Unreachable(why)

    def _job_file(self, stage: SetupStage, resolved: Resolved | None) -> Path:
        """What the pod of a stage would be told, with paths of this machine."""
        job = Job(metadata=self._metadata, spec=self._document["spec"], status=JobStatus(resolved=resolved))
        setup = Setup(stage=stage, number=0, generation=0, started_at=datetime.now(UTC))
        at = mounts(
            setup_pod(job, self._spec, setup, IMAGE, SETTINGS), VolumeRoots(self._runs, self._private)
        )
        told = setup_config_map(job, self._spec, setup, SETTINGS)["data"][Path(JOB_FILE).name]
        path = self._private / f"{stage}.json"
        path.write_text(job_file(told, at, ANY_PORT))
        return path

    def _command(self, verb: str, file: Path) -> list[str]:
        if importlib.util.find_spec("llmtrain_trainer") is None:
            raise Refused(NO_TRAINER)
        return [sys.executable, "-W", "ignore", "-m", "llmtrain_trainer", verb, str(file)]


def _environment() -> dict[str, str]:
    """No progress bars of libraries between the lines, and no accelerator is looked for."""
    quiet = {"DS_ACCELERATOR": "cpu", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **quiet}
