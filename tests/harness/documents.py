"""What the documents tell people to type or to apply, taken apart so that each piece can be checked."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from docsite import markdown, navigation
from docsite.markdown import Fence
from docsite.navigation import ROOT
from harness.jobs import manifest
from llmtrain import Client
from llmtrain_api import JobSpec, parse_manifest
from llmtrain_api.generate.runtime_crd import RUNTIME_KINDS
from llmtrain_api.runtimes import parse_runtime
from llmtrain_api.sweeps import parse_sweep

LANGUAGES = ("sh", "console", "yaml", "python", "json", "dockerfile", "text")
CHART = ROOT / "helm" / "llm-training-operator"
KINDS = {
    "LLMTrainingJob": parse_manifest,
    "LLMTrainingSweep": parse_sweep,
    **{of.kind: parse_runtime for of in RUNTIME_KINDS},
}


@dataclass(frozen=True)
class Block:
    """A fenced block and where it stands."""

    page: str
    fence: Fence

    @property
    def place(self) -> str:
        """For the name of a test."""
        return f"{self.page}:{self.fence.line}"


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of all pages, of these languages or of any."""
    found = [Block(page, f) for page in sorted(navigation.pages()) for f in markdown.read(ROOT / page).fences]
    return [block for block in found if not languages or block.fence.language in languages]


def unknown_value(path: list[str]) -> str:
    """What is wrong with the name of a value of the chart."""
    node: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    for done, name in enumerate(path):
        if not isinstance(node, dict) or (node and name not in node):
            return f"the chart has no value {'.'.join(path[: done + 1])}"
        node = node.get(name, {})
    return ""


def check_yaml(text: str) -> None:
    """Hold every document of a block against the contract, or against the chart's values.

    Raises:
        InvalidJob: it is ours and wrong; AssertionError, that nobody knows it.
    """
    for document in yaml.safe_load_all(text):
        if "kind" in document:
            KINDS.get(document["kind"], _of_others)(document)
        elif set(document) - {"spec"} <= _spec_fields():
            parse_manifest(_whole(document.get("spec", document)))
        else:
            wrong = [unknown_value(path) for path in _paths(document)]
            assert not any(wrong), wrong


def _of_others(document: dict[str, Any]) -> None:
    assert not document["apiVersion"].startswith("llmtrain.dev/"), f"there is no kind {document['kind']}"


def _spec_fields() -> set[str]:
    return {str(field.alias or name) for name, field in JobSpec.model_fields.items()}


def _whole(part: dict[str, Any]) -> dict[str, Any]:
    """A manifest that says this part and what a job must say beside it."""
    whole = manifest(training={"maxSteps": 1000})
    if "entrypoint" in part:
        whole["spec"] = {"output": whole["spec"]["output"]}
    whole["spec"] |= part
    return whole


def _paths(node: Any, *path: str) -> Iterator[list[str]]:
    if not isinstance(node, dict) or not node:
        yield list(path)
        return
    for name, child in node.items():
        yield from _paths(child, *path, name)


def check_json(text: str) -> None:
    """A block is one value, or one on each line."""
    try:
        json.loads(text)
    except ValueError:
        for line in text.splitlines():
            json.loads(line)


def check_python(text: str) -> None:
    """It compiles, what it imports is there, and calls of our client take what they are given."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{node.module} has no {missing}"
        elif isinstance(node, ast.Call):
            _check_call(node)


def _check_call(call: ast.Call) -> None:
    function = call.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return
    if function.value.id == "client":
        method = getattr(Client, function.attr)
        keywords = {str(word.arg): None for word in call.keywords}
        inspect.signature(method).bind(None, *[None for _ in call.args], **keywords)
