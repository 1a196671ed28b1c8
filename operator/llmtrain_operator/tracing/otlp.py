"""Sends spans by OTLP over HTTP, with OpenTelemetry's own exporter.

Its processor has a queue and a thread of its own: a collector that is away, slow or wrong costs spans and
nothing else. It is imported only where traces are asked for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from llmtrain_api import Job
from llmtrain_api.version import VERSION

from ..trace_ids import ROOT, span_id, trace_id
from .spans import Span, Start

PATH = "/v1/traces"
TRY_SECONDS = 10.0
"""Most that a batch is tried for, with what the exporter tries again."""
CLOSE_SECONDS = 2.0
SCOPE = InstrumentationScope("llmtrain_operator.tracing", VERSION)
Count = Callable[[str], None]


class Counted(SpanExporter):
    """An exporter that counts what became of its batches.

    Args:
        inner: that sends them.
        count: told ``sent`` or ``failed``.
    """

    def __init__(self, inner: SpanExporter, count: Count) -> None:
        self._inner, self._count = inner, count

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """One batch."""
        result = self._inner.export(spans)
        self._count("sent" if result is SpanExportResult.SUCCESS else "failed")
        return result

    def shutdown(self) -> None:
        """End it; what it is trying is given up."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back here."""
        return self._inner.force_flush(timeout_millis)


class Otlp:
    """Tells traces to a collector.

    Args:
        endpoint: its base, such as ``http://collector:4318``, or the whole of ``.../v1/traces``.
        count: told what became of each batch.
        delay_seconds: how long spans wait for others.
    """

    def __init__(self, endpoint: str, count: Count = lambda _: None, delay_seconds: float = 2.0) -> None:
        base = endpoint.rstrip("/")
        url = base if base.endswith(PATH) else base + PATH
        exporter = Counted(OTLPSpanExporter(endpoint=url, timeout=TRY_SECONDS), count)
        self._processor = BatchSpanProcessor(exporter, schedule_delay_millis=delay_seconds * 1000)
        self._resource = Resource.create(
            {"service.name": "llm-training-operator", "service.version": VERSION}
        )

    def tell(self, job: Job, start: Start, spans: list[Span]) -> None:
        """Put the spans of an attempt into the queue; where that is full, they are dropped."""
        for span in spans:
            self._processor.on_end(self._readable(job, start, span))

    async def close(self) -> None:
        """Send what is left, for two seconds at most: no end of the operator waits for a collector."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def end() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(over.set)

        threading.Thread(target=end, daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), CLOSE_SECONDS)

    def _readable(self, job: Job, start: Start, span: Span) -> ReadableSpan:
        uid = job.metadata.uid
        return ReadableSpan(
            name=span.name,
            context=_context(uid, start.number, span.name),
            parent=_context(uid, start.number, ROOT) if span.within else None,
            resource=self._resource,
            attributes={
                "k8s.namespace.name": job.metadata.namespace,
                "llmtrain.job.name": job.metadata.name,
                "llmtrain.job.uid": uid,
                "llmtrain.attempt": start.number,
                "llmtrain.nodes": start.nodes,
            },
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=_nanoseconds(span.begin),
            end_time=_nanoseconds(span.end),
            instrumentation_scope=SCOPE,
        )


def _context(uid: str, attempt: int, name: str) -> SpanContext:
    return SpanContext(
        trace_id(uid, attempt), span_id(uid, attempt, name), False, TraceFlags(TraceFlags.SAMPLED)
    )


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
