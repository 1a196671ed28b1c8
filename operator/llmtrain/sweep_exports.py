"""What a sweep of adapters has to serve: its router file, and all of them over their one base."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from llmtrain_api import InvalidJob, Job, Task, api_json, parse_spec
from llmtrain_api.schema.status.sweep import SweepStatus
from llmtrain_api.schema.sweep import SweepSpec
from llmtrain_api.sweeps import job_of, trials_of
from llmtrain_api.sweeps.router import FILE, Router, router_of

from .errors import Mistake
from .exports import TASK_FIX, of_job
from .render.served import AdapterAlone, Served
from .values import Object


@dataclass(frozen=True)
class ServedSweep:
    """Adapters that are served together.

    Attributes:
        served: the base, with all of them.
        router: the file that says so.
    """

    served: Served
    router: Router

    def hints(self) -> list[str]:
        """Which adapters are not served, and why."""
        told = [f"adapter {one.name} is not served: {one.reason}" for one in self.router.failed]
        if waiting := self.router.waiting:
            told.append(f"not trained yet, and not served: {', '.join(waiting)}; ask again when they are")
        return told

    def config_map(self) -> Object:
        """The router file for whoever sends requests to adapters by their names."""
        space = {"namespace": self.served.namespace} if self.served.namespace else {}
        meta = {"name": f"{self.served.name}-router", **space}
        text = json.dumps(self.router.to_json(), indent=1)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {FILE: text}}


def router_in(found: Object) -> tuple[SweepSpec, Router]:
    """The router file of a sweep, as its object has it.

    Raises:
        Mistake: it has no adapters, or none is trained yet.
    """
    name, spec = found["metadata"]["name"], api_json.read(SweepSpec, found["spec"], unknown=True)
    if not spec.adapters:
        raise Mistake(f"{name} is a sweep that tries values; name the job of its best trial")
    router = router_of(name, spec, SweepStatus.model_validate(found.get("status") or {}))
    if not router.adapters:
        why = f": {router.failed[0].reason}" if router.failed else ""
        raise Mistake(f"no adapter of {name} is trained yet{why}; wait for the first")
    return spec, router


def first_trained(found: Object) -> str:
    """The job whose adapter is the first that may be served."""
    trials = SweepStatus.model_validate(found.get("status") or {}).trials
    return next((record.job for record in trials if record.adapter is not None), "")


def of_sweep(found: Object, first: Job | None, task: Task | None) -> ServedSweep:
    """All adapters of a sweep that may be served.

    Args:
        found: the sweep's object.
        first: job of one of them; None where it was deleted after its end.
        task: that they learnt; None: as the job tells.

    Raises:
        Mistake: nothing can be served, or nobody says what it learnt.
    """
    spec, router = router_in(found)
    one = of_job(first) if first is not None else _without_job(found, spec, task)
    assert one.adapter is not None, "adapters of a sweep are exported alone"
    assert router.base is not None
    adapter = replace(
        one.adapter,
        base=router.base.name,
        revision=router.base.revision,
        rank=max(each.rank for each in router.adapters),
        many=tuple((each.name, each.path) for each in router.adapters),
    )
    served = replace(one, name=router.sweep, uri=router.folder, adapter=adapter, task=task or one.task)
    return ServedSweep(served, router)


def _without_job(found: Object, spec: SweepSpec, task: Task | None) -> Served:
    name, namespace = found["metadata"]["name"], found["metadata"].get("namespace")
    if task is None:
        raise Mistake(f"the jobs of {name} are gone, and what they learnt is not known here; {TASK_FIX}")
    try:
        job = parse_spec(job_of(name, spec, trials_of(spec)[0], 0), strict=False)
    except InvalidJob as invalid:
        raise Mistake(*(f"{name}: {one}" for one in invalid.mistakes)) from None
    return Served(
        name=name,
        task=task,
        uri="",
        namespace=namespace,
        gpus=1 if job.gpus_per_node else 0,
        secret=job.output.secret,
        adapter=AdapterAlone(job.model.name, None, 0, job.model.secret),
    )
