"""A collector on this machine gets what the real engine sees of a start, and no job waits for it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from harness.children import environment
from harness.collector import NANO, Collector, collector
from harness.control import Control, eventually
from harness.jobs import SETTINGS, T0, job, later, running

from llmtrain_api import (
    ProgressReport,
    Stage,
)
from llmtrain_operator.engine.known_jobs import KnownJobs
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.metrics import OperatorMetrics
from llmtrain_operator.run import collector as traces_to
from llmtrain_operator.serve import Servers
from llmtrain_operator.settings import parse
from llmtrain_operator.trace_ids import ROOT, span_id, trace_id, traceparent
from llmtrain_operator.tracing.otlp import Otlp
from llmtrain_operator.tracing.spans import Span, Start
from llmtrain_operator.tracing.tracer import Tracer
from llmtrain_operator.types import JobRef


@pytest.fixture
def found() -> Iterator[Collector]:
    with collector() as one:
        yield one


async def run_a_job(endpoint: str, counts: list[str]) -> str:
    """A job that starts, trains and is told of, on the real engine; its UID."""
    otlp = Otlp(endpoint, counts.append, delay_seconds=0.05)
    control = Control(MemoryApi(), settings=replace(SETTINGS, traces=True), traces=Tracer(otlp.tell))
    async with control.up():
        uid = await control.apply(nodes=1)
        await control.bring_up("tiny-0-0")
        [container] = control.pods()["tiny-0-0"]["spec"]["containers"]
        assert {"name": "TRACEPARENT", "value": traceparent(uid, 0)} in container["env"]
        ref = JobRef("default", "tiny", uid)
        told = ProgressReport(job_uid=uid, attempt=0, stage=Stage.TRAIN, step=1, total_steps=20)
        control.book.record(ref, told, datetime.now(UTC))
        control.queue.add(("default", "tiny"))
        await eventually("on record", lambda: (control.status().get("progress") or {}).get("step") == 1)
        await control.memory.patch_status("pods", "default", "tiny-0-0", {"status": {"phase": "Succeeded"}})
        await eventually("Succeeded", lambda: control.status().get("phase") == "Succeeded")
    # whoever acts next waits for it
    await asyncio.wait_for(otlp.close(), 6.0)
    return uid


async def test_a_collector_gets_the_start_of_a_job_over_http(
    found: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    counts: list[str] = []
    uid = await run_a_job(found.url, counts)
    assert set(counts) == {"sent"}
    assert {path for path, _ in found.requests} == {"/v1/traces"}
    heads = {name.lower(): value for name, value in found.requests[0][1].items()}
    assert heads["authorization"] == "Bearer abc"
    assert heads["content-type"] == "application/x-protobuf"
    root, *parts = found.spans
    assert root.name == ROOT
    assert {"queue", "create pods", "start pods", "gather", "first step"} <= set(found.names())
    assert len(found.names()) == len(set(found.names())), "told once"
    assert {span.trace_id for span in found.spans} == {trace_id(uid, 0).to_bytes(16)}
    assert (root.span_id, root.parent_span_id) == (span_id(uid, 0).to_bytes(8), b"")
    assert {span.parent_span_id for span in parts} == {root.span_id}
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in found.spans)
    assert root.end_time_unix_nano == max(span.end_time_unix_nano for span in parts)
    assert root.start_time_unix_nano > T0.timestamp() * NANO
    told = {one.key: one.value.string_value or one.value.int_value for one in root.attributes}
    assert (told["llmtrain.job.name"], told["llmtrain.job.uid"], told["llmtrain.nodes"]) == ("tiny", uid, 1)
    assert found.resources[0]["service.name"] == "llm-training-operator"


async def test_no_job_waits_for_a_collector_that_is_away() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    await run_a_job(f"http://127.0.0.1:{port}", [])


async def test_no_job_waits_for_a_collector_that_does_not_answer() -> None:
    answers = threading.Event()
    with collector(answers=answers) as silent:
        await run_a_job(silent.url, [])
        answers.set()


async def test_a_collector_that_refuses_is_counted() -> None:
    counts: list[str] = []
    with collector(status=400) as refusing:
        await run_a_job(refusing.url + "/v1/traces", counts)
        assert {path for path, _ in refusing.requests} == {"/v1/traces"}
    assert set(counts) == {"failed"}


async def test_the_operator_tells_the_collector_that_its_flags_name(found: Collector) -> None:
    metrics = OperatorMetrics(KnownJobs(), WorkQueue(), PodStore())
    async with Servers() as servers:
        assert traces_to(parse(["--trainer-image=x"]), metrics, servers) is None
        tell = traces_to(parse(["--trainer-image=x", f"--trace-endpoint={found.url}"]), metrics, servers)
        assert tell is not None
        tell(job(running()), Start(0, 2, T0), [Span(ROOT, T0, later(1), within=False)])
    assert found.names() == [ROOT]
    assert (
        metrics.registry.get_sample_value("llmtrain_operator_trace_batches_total", {"outcome": "sent"}) == 1
    )


def test_nothing_of_it_is_loaded_where_nobody_collects() -> None:
    code = (
        "import sys, llmtrain_operator.run; sys.exit(any(n.startswith('opentelemetry') for n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 0
