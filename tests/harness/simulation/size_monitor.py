"""What must never happen to gangs that may have fewer nodes than they want, said in the test's own words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from harness.jobs import SETTINGS
from harness.simulation.podview import size_of

from llmtrain_operator.kube.api import Object

if TYPE_CHECKING:
    from harness.simulation.monitor import Monitor


class SizeMonitor:
    """Sees each status of each job, and each pod that comes."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def status(self, job: Object, before: dict[str, Any], after: dict[str, Any]) -> None:
        """A gang is within what its job allows, and told what it is."""
        if not after.get("attempts"):
            return
        spec, record = job["spec"], after["attempts"][-1]
        must, size = self._monitor.must, size_of(job)
        known = (before.get("attempts") or [{}])[-1]
        if "nodes" in record and known.get("nodes") is None:
            within = spec["minNodes"] <= record["nodes"] <= spec["nodes"]
            must(within, f"a gang of {record['nodes']}, not {spec['minNodes']} to {spec['nodes']}")
            must(record["nodes"] == size, f"a gang of {record['nodes']}, and {size} on record")
            world = after["resolved"]["worldSize"]
            must(world == size, f"a gang of {size} is told a layout of {world} ranks")
        if record.get("reason") == "Resized" and known.get("reason") is None:
            grows = record["nextNodes"] > size
            ran = _moment(record["stoppingAt"]) - _moment(record["runningAt"])
            must(not grows or ran >= SETTINGS.grow_seconds - 2, f"ended to grow after {ran} s")
            must(record["nextNodes"] != size, f"ended for a gang of {size} nodes again")

    def pod_added(self, name: str, rank: int, status: dict[str, Any]) -> None:
        """No pod beyond the gang on record."""
        desired = (status.get("workers") or {}).get("desired", 0)
        self._monitor.must(rank < desired, f"pod {name} created of a gang of {desired}")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
