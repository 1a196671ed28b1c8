"""What a namespace lacks for a job: Secrets and claims that are not there, room in its quotas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from llmtrain_api import Job
from llmtrain_api.runtimes.named import Named, claims_of, secrets_of
from llmtrain_operator.local.check_text import BARE
from llmtrain_operator.scheduling.claims import Claims
from llmtrain_operator.scheduling.objects import decode_quota
from llmtrain_operator.scheduling.quota import Budget

from .cluster import ApiServer
from .errors import Forbidden, NotFound

NAME_ALONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Of a Secret no value is asked for."""


def lacking(server: ApiServer, job: Job) -> Iterator[str]:
    """A sentence for each thing.

    Args:
        server: of the cluster, as the user.
        job: with its namespace.
    """
    core = f"/api/v1/namespaces/{job.metadata.namespace}"
    yield from _missing(server, f"{core}/secrets", "Secret", secrets_of(job.spec))
    yield from _missing(server, f"{core}/persistentvolumeclaims", "claim", claims_of(job.spec))
    yield from _quotas(server, f"{core}/resourcequotas", job)


def _missing(server: ApiServer, path: str, kind: str, named: Named) -> Iterator[str]:
    fields: dict[str, str] = {}
    for field, name in named:
        fields.setdefault(name, field)
    for name, field in fields.items():
        try:
            server.call("GET", f"{path}/{quote(name, safe='')}", accept=NAME_ALONE)
        except NotFound:
            yield f"it would wait: spec.{field}: the namespace has no {kind} {name}"
        except Forbidden:
            yield f"not looked at: spec.{field}: you may not read {kind} {name}"


def _quotas(server: ApiServer, path: str, job: Job) -> Iterator[str]:
    try:
        found = server.call("GET", path)["items"]
    except Forbidden:
        yield "not looked at: you may not read the namespace's quotas"
        return
    claim = Claims(BARE).of(job, datetime.now(UTC))
    quotas = [quota for raw in found if (quota := decode_quota(json.dumps(raw).encode())) is not None]
    if claim is not None:
        for lack in Budget(quotas).lacks(claim.demand, claim.nodes):
            yield f"it would wait: {lack}"
