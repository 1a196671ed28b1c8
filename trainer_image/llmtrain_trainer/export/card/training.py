"""What a card says of training: how long, on what, and every hyper-parameter with its reason where known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..markdown import code, location, number, plain, table
from .facts import Facts


def section(facts: Facts) -> str:
    """The whole section."""
    rows = ((code(name), code(value), plain(why)) for name, value, why in settings(facts))
    parts = [
        table(("", ""), ((name, plain(value)) for name, value in course(facts))),
        table(("field", "value", "reason"), rows),
    ]
    return "\n\n".join(part for part in parts if part)


def course(facts: Facts) -> Iterator[tuple[str, str]]:
    """How training went."""
    found, spent, job = facts.results, facts.spent, facts.job
    if found.steps is not None:
        yield "steps", number(found.steps)
    if found.stop_reason:
        yield "ended early", found.stop_reason
    if found.skipped_steps:
        yield "steps without an update", number(found.skipped_steps)
    if found.best_step is not None and found.best_eval_loss is not None:
        yield "lowest held-out loss", f"{number(found.best_eval_loss)} at step {found.best_step}"
    earlier = found.exported_step if found.exported_step != found.steps else None
    if earlier is not None:
        yield "exported step", f"{number(earlier)}, the best by held-out loss (checkpoint.keepBest)"
    which = "last" if earlier is None else "exported"
    if found.train_loss is not None:
        yield f"training loss of the {which} step", number(found.train_loss)
    if found.fairness_penalty is not None:
        yield f"squared gap of the pairs of the {which} step", f"{number(found.fairness_penalty)} nat²"
    if spent.steps:
        some = "" if spent.steps == found.steps else f" in the {number(spent.steps)} steps on record"
        yield "tokens trained on", f"{number(spent.tokens)}{some}"
        yield "device time in steps", _device_time(facts)
    if spent.done > spent.steps:
        yield "steps done again after restarts", number(spent.done - spent.steps)
    yield "gang", _gang(facts)
    yield "layout", f"{job.layout}: {job.layout.why}" if job.layout.why else str(job.layout)


def _gang(facts: Facts) -> str:
    spec = facts.job.spec
    what, count = (
        ("GPU", spec.gpus_per_node) if spec.gpus_per_node else ("CPU process", spec.local_world_size)
    )
    end = "" if count == 1 else "es" if what.endswith("s") else "s"
    nodes = "1 node" if spec.nodes == 1 else f"{spec.nodes} nodes"
    return f"{nodes} x {count} {what}{end}"


def _device_time(facts: Facts) -> str:
    """Seconds of rank 0's clock times the ranks: a gang that had other sizes before took as many of each."""
    hours = facts.spent.seconds * facts.job.layout.world / 3600
    device = "GPU-hours" if facts.job.spec.gpus_per_node else "hours of CPU processes"
    elastic = ", as if the gang had always had this size" if facts.job.spec.min_nodes else ""
    return f"{hours:.4g} {device}{elastic}"


def settings(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Each field that decided what was trained, as it was resolved: its path, value and reason. Of a
    place it is what `location` tells."""
    spec, why = facts.job.spec, reasons(facts)
    sections: dict[str, Any] = {
        "training": spec.training.to_json(),
        "model.adapter": spec.model.adapter.to_json() if spec.model.adapter else {},
        "parallelism": spec.parallelism.to_json(),
    }
    sections["training"]["zeroStage"] = facts.job.layout.zero
    for path, fields in sections.items():
        for name, value in _flat(path, fields):
            yield name, location(value), why.get(name, "")
    yield "dataset.heldOutFraction", number(spec.dataset.held_out_fraction), ""
    yield "evaluation.maxSequences", number(spec.evaluation.max_sequences), ""
    if facts.job.resolved and facts.job.resolved.accumulation:
        yield "passes a step", number(facts.job.resolved.accumulation), "follows from the batch and the ranks"


def reasons(facts: Facts) -> dict[str, str]:
    """Why what was left open became what it is."""
    resolved = facts.job.resolved
    found = {"training.zeroStage": facts.job.layout.why}
    if resolved is not None:
        found |= {f"training.{field}": _source(text) for field, text in resolved.defaults.items()}
        found |= {
            "training.learningRate": _source(resolved.learning_rate or ""),
            "training.precision": resolved.precision or "",
            "training.microBatchSize": resolved.micro_batch_reason or "",
            "training.activationCheckpointing": resolved.activation_checkpointing_reason or "",
            "training.chunkedLogits": resolved.chunked_logits_reason or "",
        }
    return found


def _source(text: str) -> str:
    """A reason without the value that it begins with, which stands beside it."""
    for mark in (": ", ", "):
        if mark in text:
            return text.partition(mark)[2]
    return text


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name in value:
            yield from _flat(f"{path}.{name}", value[name])
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number_of_it, one in enumerate(value):
            yield from _flat(f"{path}[{number_of_it}]", one)
    elif isinstance(value, list):
        yield path, ", ".join(_said(one) for one in value)
    else:
        yield path, _said(value)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
