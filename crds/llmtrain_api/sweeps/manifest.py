"""A sweep as a person writes it and as the API server holds it, with every mistake in it and its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from .. import api_json
from ..errors import explain
from ..job import MAX_NAME, NAME, NAME_MESSAGE, InvalidJob, parse_spec
from ..names import API_VERSION, SWEEP_KIND
from ..schema.base import ApiModel
from ..schema.sweep import MAX_TRIALS, Search, SweepSpec
from .adapters import adapter_mistakes
from .trials import Trial, job_name, job_of, metrics, rounds_of, trials_of

MAX_MISTAKES = 10
OUTPUT_OF_EACH = "spec.job.output.uri: is required; each trial gets a folder of its own name in it"

ONE_REPOSITORY = (
    "spec.job.output.publish: every trial would be pushed to one repository; remove it, and set it in a job "
    "of the best values"
)


class InvalidSweep(ValueError):
    """A sweep that cannot be run.

    Attributes:
        mistakes: one sentence a mistake, each naming the field and the fix.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep.

    Attributes:
        spec: as it was understood.
    """

    namespace: str
    name: str
    spec: SweepSpec


class _Metadata(ApiModel):
    name: str = Field(min_length=1, max_length=253)
    namespace: str = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class _Manifest(ApiModel):
    api_version: Literal["llmtrain.dev/v1alpha1"]
    kind: Literal["LLMTrainingSweep"]
    metadata: _Metadata
    spec: Any = None
    status: Any = None


def parse_sweep(document: object) -> Sweep:
    """A manifest as a person wrote it, with unknown fields refused.

    Raises:
        InvalidSweep: with every mistake found.
    """
    if not isinstance(document, dict):
        raise InvalidSweep(
            [f"the document must be a mapping with apiVersion: {API_VERSION} and kind: {SWEEP_KIND}"]
        )
    try:
        head = api_json.read(_Manifest, {k: v for k, v in document.items() if k not in ("spec", "status")})
    except ValidationError as error:
        raise InvalidSweep(explain(error, "")) from None
    spec = read_sweep(head.metadata.name, document.get("spec"), strict=True)
    return Sweep(head.metadata.namespace, head.metadata.name, spec)


def read_sweep(name: str, spec: object, *, strict: bool) -> SweepSpec:
    """The spec of a sweep, every job of which could be run.

    Args:
        name: of the sweep.
        spec: the parsed YAML or JSON.
        strict: whether an unknown field of the sweep itself is a mistake (people) or ignored (the operator,
            which may be older than the object).

    Raises:
        InvalidSweep: with every mistake found.
    """
    if spec is None:
        raise InvalidSweep(["spec: is required"])
    try:
        found = api_json.read(SweepSpec, spec, unknown=not strict)
    except ValidationError as error:
        raise InvalidSweep(explain(error)) from None
    except RecursionError:
        raise InvalidSweep(["spec: is nested too deeply; flatten it"]) from None
    mistakes = _shape(found) or _names(name, found) or _jobs(name, found)
    if mistakes:
        raise InvalidSweep(mistakes)
    return found


def _shape(spec: SweepSpec) -> list[str]:
    count = 1
    for parameter in spec.parameters:
        count *= len(parameter.values or [None])
    found = []
    if spec.search is Search.GRID and count > MAX_TRIALS:
        found.append(
            f"spec.parameters: a grid of {count} trials is more than {MAX_TRIALS}; try fewer values, or set "
            "search: random"
        )
    fields = [p.field for p in spec.parameters]
    if twice := sorted({field for field in fields if fields.count(field) > 1}):
        found.append(f"spec.parameters: {twice[0]} stands twice; remove one")
    if "output.uri" in fields or "output" in fields:
        found.append("spec.parameters: output.uri is chosen by the sweep; remove it")
    output = spec.job.get("output")
    if not (isinstance(output, dict) and isinstance(output.get("uri"), str) and output["uri"]):
        found.append(OUTPUT_OF_EACH)
    elif "publish" in output:
        found.append(ONE_REPOSITORY)
    if spec.objective.metric not in metrics():
        found.append(
            f"spec.objective.metric: got {spec.objective.metric!r}; use one of {', '.join(metrics())}"
        )
    return found + _halving(spec, fields) + adapter_mistakes(spec)


def _halving(spec: SweepSpec, fields: list[str]) -> list[str]:
    if spec.halving is None:
        return []
    training = spec.job.get("training")
    steps = training.get("maxSteps") if isinstance(training, dict) else None
    if not isinstance(steps, int) or "training.maxSteps" in fields or "training" in fields:
        return [
            "spec.halving: needs training.maxSteps in spec.job, the same for all trials; set it, and no "
            "epochs"
        ]
    if spec.halving.min_steps >= steps:
        got = spec.halving.min_steps
        return [f"spec.halving.minSteps: got {got}, and the job's maxSteps is {steps}; use less"]
    return []


def _names(name: str, spec: SweepSpec) -> list[str]:
    last = len(rounds_of(spec)) - 1
    longest = max((job_name(name, spec, trial.number, last) for trial in trials_of(spec)), key=len)
    if NAME.fullmatch(name) is None:
        return [NAME_MESSAGE]
    if len(longest) > MAX_NAME:
        most = max(MAX_NAME - (len(longest) - len(name)), 1)
        return [f"metadata.name: its jobs are {longest!r} and the like; use at most {most} characters"]
    return []


def _jobs(name: str, spec: SweepSpec) -> list[str]:
    """Mistakes in the jobs, each once, with the values of the first trial that has it.

    Fields that jobs do not have are mistakes, whoever asks: the API server takes anything for ``spec.job``,
    and would leave them out of the jobs, so that a parameter with a typo would try the same job many times.
    """
    found: dict[str, str] = {}
    for trial in trials_of(spec):
        for turn in range(len(rounds_of(spec))):
            try:
                parse_spec(job_of(name, spec, trial, turn), strict=True)
            except InvalidJob as invalid:
                for text in (_of_job(mistake, trial) for mistake in invalid.mistakes):
                    found.setdefault(text, f"{text} ({trial.title()})")
        if len(found) >= MAX_MISTAKES:
            break
    return list(found.values())


def _of_job(mistake: str, trial: Trial) -> str:
    """A mistake in a job, by its place in the sweep."""
    for section in trial.values if trial.adapter else ():
        if mistake.startswith((f"spec.{section}.", f"spec.{section}:")):
            return mistake.replace("spec.", f"spec.adapters[{trial.number}].", 1)
    return mistake.replace("spec.", "spec.job.", 1) if mistake.startswith("spec.") else mistake
