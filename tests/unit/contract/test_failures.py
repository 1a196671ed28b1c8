"""Known failures are recognised by what programs and clusters say, each by its own entry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.failures import texts
from harness.failures.labels import LABELS

from llmtrain_api import FailureClass
from llmtrain_api.failures import PODS, PROCESSES, KnownFailure, all_exits, first, of_exit
from llmtrain_api.failures.known import LONGEST
from llmtrain_api.generate.crd import custom_resource_definition

ROOT = Path(__file__).resolve().parents[3]
EVERY = (*PROCESSES, *PODS, *(known for _, known in all_exits()))
TOLD = [
    *((PROCESSES, name, text) for name, told in texts.PROCESSES.items() for text in told),
    *((PODS, name, text) for name, told in texts.PODS.items() for text in told),
]


@pytest.mark.parametrize(("table", "name", "text"), TOLD, ids=[f"{t[1]}-{t[2][:30]}" for t in TOLD])
def test_a_text_is_recognised_by_its_own_entry(table: tuple[KnownFailure, ...], name: str, text: str) -> None:
    found = first(table, text)
    assert found is not None
    assert found.name == name


def test_every_entry_has_a_text_and_a_name_of_its_own() -> None:
    assert [known.name for known in PROCESSES] == list(dict.fromkeys(known.name for known in PROCESSES))
    assert {known.name for known in PROCESSES} == set(texts.PROCESSES)
    assert {known.name for known in PODS} == set(texts.PODS)
    names = [known.name for known in EVERY]
    assert len(set(names)) == len(names) >= 60
    assert all(re.fullmatch("[A-Za-z0-9]{1,64}", name) for name in names)


def test_labels_name_entries_and_their_classes() -> None:
    known = {one.name: one for one in EVERY}
    for name, label in LABELS.items():
        if label.reason is not None:
            assert known[label.reason].failure_class in (None, label.failure_class), name


@pytest.mark.parametrize(
    ("code", "name"),
    [(-9, "Killed"), (137, "Killed"), (-7, "BusError"), (139, "Crashed"), (127, "NoSuchCommand"), (1, None)],
)
def test_an_exit_code_is_known_as_a_signal_or_by_itself(code: int, name: str | None) -> None:
    found = of_exit(code)
    assert (found and found.name) == name


@pytest.mark.parametrize("code", [0, 2**31 - 1, -(2**31), 128, 128 + 64, -65, 255])
def test_any_exit_code_may_be_asked_for(code: int) -> None:
    of_exit(code)


def test_a_command_that_is_not_there_is_not_tried_again() -> None:
    found = of_exit(127)
    assert found is not None
    assert found.failure_class is FailureClass.CONFIG_ERROR


def test_of_a_long_text_both_ends_are_looked_at() -> None:
    filler = "x" * (2 * LONGEST)
    for text in (f"MemoryError: {filler}", f"{filler} MemoryError"):
        found = first(PROCESSES, text)
        assert found is not None
        assert found.name == "HostOutOfMemory"
    assert first(PROCESSES, f"{filler} MemoryError {filler}") is None


def _has(schema: dict[str, Any], path: list[str]) -> bool:
    for name in path:
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


def test_hints_name_fields_and_values_that_exist() -> None:
    version = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = version["properties"]["spec"]
    sections = [name for name, field in spec["properties"].items() if "properties" in field]
    values = yaml.safe_load((ROOT / "helm/llm-training-operator/values.yaml").read_text())
    named = 0
    for known in EVERY:
        for path in re.findall(rf"\b((?:{'|'.join(sections)})(?:\.[a-z]\w+)+)", known.hint):
            assert _has(spec, path.split(".")), f"{known.name}: {path}"
            named += 1
        for path in re.findall(r"\btrainer((?:\.[a-z]\w+)+)", known.hint):
            found: Any = values["trainer"]
            for name in path[1:].split("."):
                assert name in found, f"{known.name}: trainer{path}"
                found = found[name]
            named += 1
    assert named >= 20
