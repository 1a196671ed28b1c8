"""What a model holds that reads a text with hidden spans and writes it whole."""

from __future__ import annotations

from harness.builders import spec
from harness.models.configs import CONFIGS

from llmtrain_api import Task, changed, shape_of_config
from llmtrain_api.estimate.activations import activations, loss_bytes
from llmtrain_api.layouts.layout import Layout
from llmtrain_api.twin import shrink


def test_both_sides_of_a_bart_see_a_text_and_one_writes_it() -> None:
    shape = shape_of_config(shrink(CONFIGS["facebook/bart-base"].config))
    infilled = changed(spec(), task=None)
    pairs, hidden = (
        activations(shape, changed(infilled, task=task), Layout()) for task in (Task.TEXT2TEXT, Task.SEQ2SEQ)
    )
    training = infilled.training
    logits = training.micro_batch_size * training.sequence_length * shape.vocabulary
    size = 2 if training.precision == "bf16" else 4
    assert hidden == activations(shape, infilled, Layout())
    assert pairs - hidden == loss_bytes(2 * logits, size) - loss_bytes(logits, size)
