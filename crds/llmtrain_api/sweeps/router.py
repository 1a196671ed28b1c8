"""The router file of a sweep of adapters: which may be served over the one base, and where each lies.

It follows from the sweep's status alone. The status has one writer, and is written whole or not at all: so no
adapter is lost where many end at once, or where whoever writes it is killed.
"""

from __future__ import annotations

import posixpath
from typing import Annotated, Literal

from pydantic import Field

from ..schema.base import ApiModel
from ..schema.locations import folder as located
from ..schema.status.sweep import SweepStatus, TrialRecord
from ..schema.sweep import SweepSpec

FILE = "router.json"
"""What it is called, in the folder that all adapters lie in."""
FAILED = "its job failed"


class RouterBase(ApiModel):
    """The model that all adapters stand beside.

    Attributes:
        name: as the job names it.
        revision: commit of the hub's repository; None for a folder.
        digest: SHA-256 of its config.json and of the headers of its weights.
        path: where it lies, from the router file; None where that is another claim, a bucket or a hub.
    """

    name: str
    revision: str | None = None
    digest: str | None = None
    path: str | None = None


class RoutedAdapter(ApiModel):
    """An adapter that requests may go to.

    Attributes:
        name: that requests ask for.
        path: its folder, from the router file; a URI where it lies elsewhere.
        sha256: of adapter_model.safetensors.
        data: digest of what it was trained on.
        eval_loss: on held-out data of its own; None where none is known.
    """

    name: str
    path: str
    rank: int
    alpha: int
    sha256: str
    data: str
    eval_loss: float | None = None


class FailedAdapter(ApiModel):
    """An adapter that no request goes to, and why."""

    name: str
    reason: str


class Router(ApiModel):
    """The file.

    Attributes:
        version: of this form.
        sweep: whose adapters they are.
        folder: URI of the folder that all of them lie in.
        base: None before the first is trained.
        adapters: that may be served, in the order of the sweep.
        failed: those that may not.
        waiting: those that are not trained yet.
    """

    version: Literal[1] = 1
    sweep: str
    folder: str
    base: RouterBase | None = None
    adapters: Annotated[list[RoutedAdapter], Field(default_factory=list)]
    failed: Annotated[list[FailedAdapter], Field(default_factory=list)]
    waiting: Annotated[list[str], Field(default_factory=list)]


def router_of(sweep: str, spec: SweepSpec, status: SweepStatus) -> Router:
    """The file as the status has it.

    Args:
        sweep: its name.
        spec: of a sweep of adapters.
        status: as it is now.
    """
    folder = str(spec.job["output"]["uri"]).rstrip("/")
    records = {record.number: record for record in status.trials}
    routed, failed, waiting = [], [], []
    for number, asked in enumerate(spec.adapters or []):
        record = records.get(number)
        if record is not None and record.adapter is not None:
            routed.append(_routed(record, folder))
        elif record is not None and record.phase in ("Succeeded", "Failed"):
            failed.append(FailedAdapter(name=asked.name, reason=record.message or FAILED))
        else:
            waiting.append(asked.name)
    return Router(
        sweep=sweep,
        folder=folder,
        base=_base(status, folder),
        adapters=routed,
        failed=failed,
        waiting=waiting,
    )


def _routed(record: TrialRecord, folder: str) -> RoutedAdapter:
    found = record.adapter
    assert found is not None
    return RoutedAdapter(
        name=found.name,
        path=found.uri.removeprefix(f"{folder}/"),
        rank=found.rank,
        alpha=found.alpha,
        sha256=found.weights,
        data=found.data,
        eval_loss=record.value,
    )


def _base(status: SweepStatus, folder: str) -> RouterBase | None:
    base = status.base
    if base is None:
        return None
    return RouterBase(
        name=base.name, revision=base.revision, digest=base.digest, path=_path(base.name, folder)
    )


def _path(base: str, folder: str) -> str | None:
    """The way from one folder to another of the same claim or machine."""
    if "://" not in base:
        return None
    to, here = located(base), located(folder)
    if to.scheme not in ("pvc", "file") or (to.scheme, to.owner) != (here.scheme, here.owner):
        return None
    return posixpath.relpath("/".join(("", *to.parts)), "/".join(("", *here.parts)))
