"""A program of one's own in the place of the trainer: what a manifest says of it."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bad_manifests import own_program

from llmtrain_api import InvalidJob, JobSpec, Starter, parse_spec
from llmtrain_api.rules import RULES
from llmtrain_api.rules.entrypoint import REQUIRES
from llmtrain_api.rules.entrypoint import RULES as OWN


def read(**spec: Any) -> JobSpec:
    return parse_spec(own_program(**spec)["spec"], strict=True)


def test_the_smallest_one_names_a_program_and_an_output() -> None:
    spec = read(entrypoint={"command": ["python3", "train.py"], "args": ["--lr", "1e-5"]})
    assert spec.entrypoint is not None
    assert spec.entrypoint.words == ["python3", "train.py", "--lr", "1e-5"]
    assert spec.entrypoint.starter is Starter.TORCHRUN
    assert not spec.prepares_first


def test_how_many_ranks_there_are_follows_from_who_starts_them() -> None:
    gpus: dict[str, Any] = {"nodes": 2, "gpusPerNode": 8}
    assert read(**gpus).world_size == 16
    none = read(entrypoint={"command": ["./train.sh"], "starter": "none"}, **gpus)
    assert (none.world_size, none.local_world_size, none.gpus_per_node) == (2, 1, 8)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("training", {"maxSteps": 5}),
        ("training", {"precision": "bf16"}),
        ("checkpoint", {"everySteps": 5}),
        ("evaluation", {"everySteps": 5}),
        ("prepare", {"nodes": 1}),
    ],
)
def test_a_section_of_the_trainers_is_refused(section: str, value: dict[str, Any]) -> None:
    """The API server fills their defaults in, so only Python can say it."""
    with pytest.raises(InvalidJob, match=f"spec.{section}: the program of entrypoint decides that itself"):
        read(**{section: value})


def test_defaults_that_the_api_server_fills_in_are_no_wish() -> None:
    filled = {"training": {"maxSteps": 100}, "checkpoint": {"everySteps": 100, "async": True, "keep": 2}}
    usual = {name: JobSpec.model_validate(own_program()["spec"]).to_json()[name] for name in filled}
    for decided_later in ("precision", "learningRate"):
        usual["training"].pop(decided_later, None)
    assert read(**usual).entrypoint is not None


def test_rules_over_what_is_trained_wait_for_a_model() -> None:
    """CEL that asks for a field that is not there is an error of its own."""
    for rule in RULES:
        if rule.cel is None or rule in (*REQUIRES, *OWN):
            continue
        for section in ("model", "dataset"):
            assert section in rule.sections or f"self.{section}" not in rule.cel
