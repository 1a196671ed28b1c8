"""Prometheus series of a pod, served by its first rank."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from llmtrain_api.names import ENV_METRICS_PORT, METRICS_PORT

from .. import log


class Metrics:
    """The series that training sets."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"llmtrain_train_{name}", text, registry=self.registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"llmtrain_train_{name}", text, registry=self.registry)

        self.step = gauge("step", "Optimizer steps done.")
        self.total_steps = gauge("total_steps", "Optimizer steps of the whole job.")
        self.loss = gauge("loss", "Training loss of the last step, nat a token.")
        self.held_out_loss = gauge("held_out_loss", "Held-out loss, nat a token.")
        self.learning_rate = gauge("learning_rate", "Learning rate.")
        self.gradient_norm = gauge("gradient_norm", "Gradient norm before clipping.")
        self.tokens_per_second = gauge("tokens_per_second", "Tokens a second, all ranks.")
        self.checkpoint_step = gauge("checkpoint_step", "Newest committed checkpoint.")
        self.tokens = counter("tokens", "Tokens trained on by this attempt, all ranks.")
        self.dropped_steps = counter("dropped_steps", "Steps dropped for gradients that are not finite.")
        self.failed_saves = counter("failed_saves", "Checkpoints that could not be written.")
        self.step_seconds = Histogram(
            "llmtrain_train_step_seconds",
            "Wall time of a step.",
            registry=self.registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
        )
        self.checkpoint_seconds = Histogram(
            "llmtrain_train_checkpoint_seconds",
            "Time that training stood still for a save.",
            registry=self.registry,
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
        )

    def serve(self) -> None:
        """Serve /metrics. A busy port is no reason not to train."""
        port = int(os.environ.get(ENV_METRICS_PORT, METRICS_PORT))
        if not port:
            return
        try:
            start_http_server(port, registry=self.registry)
        except OSError as error:
            log.get().warning("no metrics are served", port=port, error=str(error))
