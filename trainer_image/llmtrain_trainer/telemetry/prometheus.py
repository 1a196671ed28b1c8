"""Prometheus series. Rank 0 has the job's; every rank has its own phases, memory and last step."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import torch
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from llmtrain_api import JobFile, ReinforcementFigures
from llmtrain_api.names import ENV_METRICS_PORT, METRICS_PORT
from llmtrain_api.schema.reinforcement import ReinforcementSpec

from .. import log
from ..floats import perplexity
from .figures import StepReport
from .phases import Phase, Seconds

PREFIX = "llmtrain_train_"
NON_FINITE, REWOUND = "nonfinite", "rewound"
"""Why a step changed no weight: its gradients were not finite, or a rewind passes over its samples."""
STEP_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
SAVE_BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 100, 300)


class RankSeries:
    """What every rank says of itself."""

    def __init__(self, device: torch.device) -> None:
        self.registry = CollectorRegistry()
        self.phases = Counter(
            f"{PREFIX}phase_seconds",
            "Wall time by what this rank was busy with. The phases add up to the time since its start.",
            ["phase"],
            registry=self.registry,
        )
        self.last_step = Gauge(
            f"{PREFIX}last_step_timestamp_seconds",
            "When this rank ended its last step, seconds since 1970.",
            registry=self.registry,
        )
        for phase in Phase:
            self.phases.labels(phase)
        if device.type == "cuda":
            self._memory(device)

    def _memory(self, device: torch.device) -> None:
        memory = Gauge(
            f"{PREFIX}device_memory_bytes",
            "Memory of this rank's device in torch's allocator.",
            ["kind"],
            registry=self.registry,
        )
        memory.labels("allocated").set_function(lambda: torch.cuda.memory_allocated(device))
        memory.labels("reserved").set_function(lambda: torch.cuda.memory_reserved(device))
        memory.labels("peak").set_function(lambda: torch.cuda.max_memory_allocated(device))

    def spent(self, phases: Seconds) -> None:
        """Add time."""
        for phase, seconds in phases.items():
            self.phases.labels(phase).inc(seconds)

    def stepped(self) -> None:
        """A step is done."""
        self.last_step.set(time.time())

    def serve(self, local_rank: int) -> None:
        """Serve /metrics, each rank of a pod at the next port. A busy port is no reason not to train."""
        port = int(os.environ.get(ENV_METRICS_PORT, METRICS_PORT))
        if not port:
            return
        try:
            start_http_server(port + local_rank, registry=self.registry)
        except OSError as error:
            log.get().warning("no metrics are served", port=port + local_rank, error=str(error))


STEP_GAUGES: dict[str, tuple[str, str]] = {
    "step": ("step", "Optimizer steps done."),
    "progress": ("progress_ratio", "Share of the steps done, 0 to 1."),
    "eta_seconds": ("eta_seconds", "Expected time until the last step."),
    "epoch": ("epoch", "Passes over the data, with fraction."),
    "loss": ("loss", "Training loss of the last step, nat a token."),
    "fairness_penalty": (
        "fairness_penalty",
        "Squared gap of log-likelihood of the step's pairs, nat squared; with training.fairness.",
    ),
    "learning_rate": ("learning_rate", "Learning rate."),
    "gradient_norm": ("gradient_norm", "Gradient norm before clipping."),
    "tokens_per_second": ("tokens_per_second", "Tokens a second, all ranks."),
    "tokens_per_second_per_device": ("tokens_per_second_per_device", "Tokens a second of one rank."),
    "model_flops_per_second": (
        "model_flops_per_second",
        "Model FLOP/s of all ranks: 6N + 12LHQT a token.",
    ),
    "mfu": ("mfu_ratio", "Model FLOP/s over the devices' bf16 peak."),
    "padding": ("padding_ratio", "Share of a step's sequences that only fill the batch."),
}
"""Gauges that each step sets: field of `StepReport`, name and description of the series."""


ANSWER_GAUGES: dict[str, tuple[str, str]] = {
    "reward": ("reward", "Reward of an answer of the last step, the mean."),
    "deviation": ("reward_deviation", "Standard deviation of rewards within a group, the mean."),
    "without_signal": ("groups_without_signal_ratio", "Share of groups whose answers all got the same."),
    "kl": ("divergence", "Divergence from the start model, nat a token."),
    "answer_tokens": ("answer_tokens", "Tokens of an answer, the mean."),
    "ended": ("answers_ended_ratio", "Share of answers that end before maxNewTokens."),
}
"""Gauges of answers that the model writes: field of `ReinforcementFigures`, name and description."""


class AnswerSeries:
    """What came of answers that the model wrote; only jobs that reward such have it."""

    def __init__(self, registry: CollectorRegistry, how: ReinforcementSpec) -> None:
        self._gauges = {
            field: Gauge(PREFIX + name, text, registry=registry)
            for field, (name, text) in ANSWER_GAUGES.items()
        }
        self._rules = Gauge(
            f"{PREFIX}rule_reward", "What a rule gave an answer, the mean.", ["rule"], registry=registry
        )
        for gauge in (*self._gauges.values(), *(self._rules.labels(rule.called) for rule in how.rewards)):
            gauge.set(math.nan)

    def stepped(self, found: ReinforcementFigures) -> None:
        """A step is done."""
        for field, gauge in self._gauges.items():
            value = getattr(found, field)
            gauge.set(math.nan if value is None else value)
        for one in found.rewards:
            self._rules.labels(one.name).set(one.mean)


class JobSeries:
    """What rank 0 says of the job. A figure that is not known yet is NaN, not 0."""

    def __init__(self, registry: CollectorRegistry, job: JobFile, *, with_mfu: bool) -> None:
        self._registry = registry
        # where no peak is known there is no share of it
        unknown = {"mfu": not with_mfu, "fairness_penalty": job.spec.training.fairness is None}
        self.of_step = {
            field: self._gauge(*series) for field, series in STEP_GAUGES.items() if not unknown.get(field)
        }
        self.answers = AnswerSeries(registry, how) if (how := job.spec.training.reinforcement) else None
        self.total_steps = self._gauge("total_steps", "Optimizer steps of the whole job.")
        self.held_out_loss = self._gauge("held_out_loss", "Held-out loss, nat a token.")
        self.held_out_perplexity = self._gauge("held_out_perplexity", "exp(held-out loss).")
        self.checkpoint_step = self._gauge("checkpoint_step", "Newest committed checkpoint.")
        self.checkpoint_time = self._gauge(
            "checkpoint_last_success_timestamp_seconds", "When the newest checkpoint was committed."
        )
        self.tokens = self._counter("tokens", "Tokens trained on by this attempt, all ranks.")
        self.samples = self._counter("samples", "Sequences trained on by this attempt, all ranks.")
        self.skipped = self._counter("skipped_steps", "Steps that changed no weight, by reason.", "reason")
        for reason in (NON_FINITE, REWOUND):
            self.skipped.labels(reason)
        self.spikes = self._counter(
            "loss_spikes", "Steps whose loss or gradient norm spiked, or was not finite."
        )
        self._counter("restarts", "Restarts of the gang before this attempt.").inc(job.attempt)
        self.failed_saves = self._counter("failed_saves", "Checkpoints that could not be written.")
        self.step_seconds = self._histogram("step_seconds", "Wall time of a step.", STEP_BUCKETS)
        self.checkpoint_seconds = self._histogram(
            "checkpoint_seconds", "Time that training stood still for a save.", SAVE_BUCKETS
        )
        labels = run_labels(job)
        info = Gauge(f"{PREFIX}run_info", "What runs, as labels. Always 1.", list(labels), registry=registry)
        info.labels(**labels).set(1)

    def _gauge(self, name: str, text: str) -> Gauge:
        made = Gauge(PREFIX + name, text, registry=self._registry)
        made.set(math.nan)
        return made

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(PREFIX + name, text, registry=self._registry, buckets=buckets)

    def stepped(self, report: StepReport) -> None:
        """A step is done."""
        for field, gauge in self.of_step.items():
            value = getattr(report, field)
            gauge.set(math.nan if value is None else value)
        if self.answers and report.reinforcement:
            self.answers.stepped(report.reinforcement)
        self.tokens.inc(report.tokens)
        self.samples.inc(report.samples)
        self.step_seconds.observe(report.seconds)
        self.skipped.labels(NON_FINITE).inc(not report.applied)

    def evaluated(self, loss: float, *, of_tokens: bool = True) -> None:
        """The held-out loss is known."""
        self.held_out_loss.set(loss)
        self.held_out_perplexity.set(perplexity(loss) if of_tokens else math.nan)

    def committed(self, step: int, *, written: bool) -> None:
        """A checkpoint is in place."""
        self.checkpoint_step.set(step)
        if written:
            self.checkpoint_time.set(time.time())


def run_labels(job: JobFile) -> dict[str, Any]:
    """The labels of ``run_info``: few values each, and the same for the whole attempt."""
    spec, layout = job.spec, job.layout
    return {
        "model": spec.model.name,
        "precision": spec.training.precision.value,
        "zero_stage": str(layout.zero),
        "data": str(layout.data),
        "tensor": str(layout.tensor),
        "pipeline": str(layout.pipeline),
        "sequence": str(layout.sequence),
        "attempt": str(job.attempt),
    }
