"""The operator's flags. Each may also come from the environment, as ``LLMTRAIN_OPERATOR_<NAME>``."""

from __future__ import annotations

import argparse
import os
import sys

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from llmtrain_api import WorkerDefaults, explain
from llmtrain_api.api_json import read

from .egress import ALLOW_ENTRY, INSIDE_ENTRY, odd_entries
from .types import Allowed, Provider

PREFIX = "LLMTRAIN_OPERATOR_"


class Settings(BaseModel):
    """What an installation decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainer_image: str = Field(min_length=1, description="image of worker pods when a job names none")
    namespace: str = Field(default="llmtrain-system", description="namespace that the operator runs in")
    watch_namespace: str = Field(default="", description="only jobs in this namespace; empty = all")
    report_url: str = Field(
        default="", description="where pods reach the progress server; empty = no reports"
    )
    report_hosts: str = Field(
        default="localhost", description="DNS names in its certificate, comma-separated"
    )
    report_port: int = Field(default=8443, ge=0, le=65535, description="port of the progress server")
    health_port: int = Field(default=8080, ge=0, le=65535, description="port of /metrics, /readyz, /healthz")
    tls_secret: str = Field(default="llm-training-operator-tls", description="Secret that keeps the CA")
    image_pull_policy: str = Field(default="IfNotPresent", pattern="^(Always|IfNotPresent|Never)$")
    grace_seconds: int = Field(default=30, ge=1, le=3600, description="grace time of worker pods")
    unreachable_seconds: int = Field(
        default=30, ge=0, le=3600, description="seconds until a pod is evicted from a node that is gone"
    )
    lost_node_seconds: int = Field(
        default=60, ge=1, le=86400, description="seconds past its grace time until a pod is removed by force"
    )
    network_policy: bool = Field(default=False, description="whether each job gets a NetworkPolicy")
    run_as_user: int | None = Field(
        default=1000,
        ge=1,
        le=2**31 - 1,
        description="user and group of worker pods; empty = those that the namespace gives, as on OpenShift",
    )
    metrics_namespace: tuple[tuple[str, str], ...] = Field(
        default=(), description="labels of the namespaces that may scrape workers, as key=value,key=value"
    )
    scratch_size: str = Field(
        default="",
        pattern=r"^([0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?)?$",
        description="most that a worker may write to its node's disk, such as 50Gi; empty = no limit",
    )
    scratch_request: str = Field(
        default="",
        pattern=r"^([0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?)?$",
        description="how much of its node's disk the scheduler sets aside for a worker; empty = none",
    )
    worker_defaults: WorkerDefaults = Field(
        default_factory=WorkerDefaults,
        description="what every worker pod says of its place, as JSON such as "
        '{"nodeSelector": {"pool": "gpu"}}; under what its job says',
    )
    default_runtime: str = Field(
        default="",
        max_length=253,
        description="ClusterLLMTrainingRuntime of jobs that name none; empty = such jobs have no bounds",
    )
    room: str = Field(
        default="nodes",
        pattern="^(nodes|quota)$",
        description="how room for a gang is known: nodes (what is free on each; one gang after the other "
        "where they may not be listed) or quota (namespaces' quotas alone, where an autoscaler adds nodes)",
    )
    provider: Provider = Field(
        default=Provider.DEFAULT,
        description="who helps to start gangs: kueue lets in those of jobs with spec.queueName; kubernetes, "
        "volcano and coscheduling start whole gangs by PodGroups, and volcano has queues; default = nobody",
    )
    start_seconds: int = Field(
        default=600,
        ge=10,
        le=86400,
        description="seconds that a gang may have pods without a node until it gives its room back",
    )
    grow_seconds: int = Field(
        default=600,
        ge=10,
        le=86400,
        description="seconds that a gang with fewer nodes than its job wants (minNodes) runs at least before "
        "it is ended, from a checkpoint, to go on with more",
    )
    allow: tuple[Allowed, ...] = Field(
        default=(),
        description="what jobs may ask for beyond what the restricted Pod Security profile gives, "
        "comma-separated: hostNetwork",
    )
    notify_allow: tuple[str, ...] = Field(
        default=(),
        description="hosts that jobs may have told over https what becomes of them (spec.notify): HOST, "
        "*.DOMAIN or *, each with :PORT where needed, comma-separated; empty = nobody is told",
    )
    notify_inside: tuple[str, ...] = Field(
        default=(),
        description="hosts by their whole name that may be told at private addresses and over http too, "
        "comma-separated",
    )
    notify_secrets: tuple[str, ...] = Field(
        default=(),
        description="names of the Secrets, in the namespaces of jobs, that may hold the URL of a receiver, "
        "comma-separated; the operator needs the right to get them",
    )
    trace_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
        description="where traces of how jobs start go, by OTLP over HTTP, such as http://collector:4318; "
        "empty = nowhere",
    )
    gpu_hour_price: float | None = Field(
        default=None, ge=0, le=1e6, description="what an hour of one GPU costs; empty = jobs show no cost"
    )
    currency: str = Field(default="", max_length=16, description="currency of that price, such as EUR")
    lease: str = Field(
        default="llm-training-operator", description="Lease that says which of several operators acts"
    )
    lease_seconds: int = Field(
        default=12, ge=3, le=120, description="seconds after which another takes the place of one that died"
    )
    identity: str = Field(default="", description="who holds the Lease, such as the pod; empty = the host")
    pod_ip: str = Field(
        default="", description="where another operator forwards reports to while this one acts; empty = none"
    )
    workers: int = Field(default=8, ge=1, le=256, description="jobs looked at at the same time")

    @field_validator("metrics_namespace", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        if any(not key or not equals for key, equals, _ in pairs):
            raise ValueError(f"must be key=value,key=value, not {value!r}")
        return tuple((key, text) for key, _, text in pairs)

    @field_validator("allow", "notify_allow", "notify_inside", "notify_secrets", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return [one for one in value.split(",") if one] if isinstance(value, str) else value

    @field_validator("notify_allow", "notify_inside")
    @classmethod
    def _hosts(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        outside = info.field_name == "notify_allow"
        odd = odd_entries(value, ALLOW_ENTRY if outside else INSIDE_ENTRY)
        if odd:
            forms = "HOST, *.DOMAIN or *" if outside else "HOST, without wildcards"
            raise ValueError(f"has {', '.join(odd)}; use {forms} in lower case, with :PORT where needed")
        return value

    @field_validator("gpu_hour_price", "run_as_user", mode="before")
    @classmethod
    def _or_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("worker_defaults", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return read(WorkerDefaults, orjson.loads(value or "{}"))
        except orjson.JSONDecodeError as error:
            problem = f"is no JSON ({error}): {value!r}"
        except ValidationError as error:
            # they are the chart's values of that name
            problem = "; ".join(explain(error, "trainer"))
        raise PydanticCustomError("worker_defaults", "{problem}", {"problem": problem})


def _shown(default: object) -> str:
    return "{}" if isinstance(default, BaseModel) else repr(default)


def parse(argv: list[str]) -> Settings:
    """Flags, else environment, else defaults. Exits 2 with the reason on a bad value."""
    parser = argparse.ArgumentParser(
        prog="llmtrain-operator", description="Runs LLMTrainingJobs: gangs of torchrun pods."
    )
    for name, field in Settings.model_fields.items():
        default = os.environ.get(PREFIX + name.upper(), None)
        shown = (
            "required"
            if field.is_required()
            else f"default: {_shown(field.get_default(call_default_factory=True))}"
        )
        parser.add_argument(
            "--" + name.replace("_", "-"), default=default, help=f"{field.description or name} ({shown})"
        )
    given = {k: v for k, v in vars(parser.parse_args(argv)).items() if v is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        for detail in error.errors():
            flag = "--" + str(detail["loc"][0]).replace("_", "-")
            print(f"llmtrain-operator: {flag}: {detail['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
