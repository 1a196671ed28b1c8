"""What the documents tell people to type or to apply, taken apart so that each piece can be checked."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
import yaml

from docsite import markdown, navigation
from docsite.markdown import Fence
from docsite.navigation import ROOT
from harness.jobs import manifest
from llmtrain import Client
from llmtrain.cli.app import PASSED_ON, build
from llmtrain_api import JobSpec, parse_manifest
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_api.generate.runtime_crd import RUNTIME_KINDS, runtime_definition
from llmtrain_api.generate.sweep_crd import sweep_definition
from llmtrain_api.runtimes import parse_runtime
from llmtrain_api.sweeps import parse_sweep
from llmtrain_trainer.__main__ import parser as trainers_parser

LANGUAGES = ("sh", "console", "yaml", "python", "json", "dockerfile", "text")
CHART = ROOT / "helm" / "llm-training-operator"
KINDS = {
    "LLMTrainingJob": parse_manifest,
    "LLMTrainingSweep": parse_sweep,
    **{of.kind: parse_runtime for of in RUNTIME_KINDS},
}
OTHER_PROGRAMS = frozenset(
    {
        "alias",
        "ctr",
        "echo",
        "eval",
        "grep",
        "kubectl",
        "pip",
        "bash",
        "etcdctl",
        "skopeo",
        "docker",
        "hyp",
        "sky",
    }
)
"""Programs that are not ours: that they are spelled right is all that is known of them."""
_OPERATORS = frozenset({"|", "||", "&&", ";", "&", "(", ")"})
_REDIRECTIONS = frozenset({">", ">>", "<", "2>"})
_OURS = ("examples/", "hack/", "helm/", "docs/", "tests/", "bench/")
_NESTED = re.compile(r"\$\(([^()]*)\)")


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


def command_lines(fence: Fence) -> list[str]:
    """What is typed in a block: all of `sh`, in `console` what stands behind a `$`."""
    text = re.sub(r"\s*\\\n\s*", " ", fence.text)
    if fence.language == "console":
        return [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line: of pipes, lists and `$(...)` each one, without redirections."""
    reader = shlex.shlex(line, posix=True, punctuation_chars="|&;()")
    reader.whitespace_split = True
    words: list[str] = []
    for token in [*reader, ";"]:
        for nested in _NESTED.findall(token):
            yield from commands(nested)
        if token not in _OPERATORS:
            words.append(token)
            continue
        if words := _plain(words):
            yield words
        words = []


def _plain(words: list[str]) -> list[str]:
    """A command's words without redirections, `!` and the variables that are set for it."""
    kept: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        if word not in _REDIRECTIONS and before not in _REDIRECTIONS:
            kept.append(word)
    while kept and (kept[0] == "!" or re.match(r"\w+=", kept[0])):
        kept = kept[1:]
    return kept


def wrong_command(words: list[str], here: Path) -> str:
    """What is wrong with a command; empty where nothing is.

    Args:
        words: the command.
        here: an empty folder, which is the current one: files that the command names are made there.
    """
    for word in words:
        if word.startswith(_OURS) and not (ROOT / word).exists():
            return f"there is no {word}"
        if word.endswith((".yaml", ".json", ".jsonl")) and "/" not in word:
            (here / word).touch()
    name, arguments = words[0].removeprefix("hack/") if words[0] == "hack/llmtrain" else words[0], words[1:]
    if name == "kubectl" and arguments[:1] == ["llmtrain"]:
        name, arguments = "llmtrain", arguments[1:]
    checks = {"llmtrain": _llmtrain, "make": _make, "hack/test": _hack_test, "hack/cluster": _hack_cluster}
    checks |= {"kubectl": _kubectl, "helm": _helm, "python3": _python, "python": _python}
    if name in checks:
        return checks[name](arguments)
    return "" if name in OTHER_PROGRAMS or name.startswith("hack/") else f"no program {name} is known here"


def _llmtrain(arguments: list[str]) -> str:
    if arguments and arguments[0] in PASSED_ON:
        return _by_argparse(trainers_parser(), arguments)
    group: Any = typer.main.get_command(build())
    try:
        context = group.make_context("llmtrain", list(arguments) or ["--help"])
        verb, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(verb, rest, parent=context)
    except typer.Exit:
        pass
    except Exception as error:  # click's own, which Typer may keep under another name
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return ""


def _by_argparse(parser: Any, arguments: list[str]) -> str:
    try:
        parser.parse_args(arguments)
    except SystemExit as ended:
        return "" if not ended.code else f"it does not take {shlex.join(arguments)}"
    return ""


def make_targets() -> set[str]:
    """Every target of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _make(arguments: list[str]) -> str:
    unknown = [word for word in arguments if "=" not in word and word not in make_targets()]
    return f"the Makefile has no target {unknown[0]}" if unknown else ""


def _hack_test(arguments: list[str]) -> str:
    import testlayers

    names = [layer.name for layer in testlayers.LAYERS]
    unknown = [word for word in arguments[:1] if not word.startswith("-") and word not in names]
    return f"hack/test has no layer {unknown[0]}" if unknown else ""


def _hack_cluster(arguments: list[str]) -> str:
    from barecluster.__main__ import parser

    return _by_argparse(parser(), arguments)


def _python(arguments: list[str]) -> str:
    if arguments[:1] != ["-m"]:
        return ""
    name = arguments[1]
    if (ROOT / f"{name.replace('.', '/')}.py").exists():
        return ""
    with suppress(ModuleNotFoundError):
        return "" if importlib.util.find_spec(name) else f"there is no module {name}"
    return f"there is no module {name}"


def resources() -> set[str]:
    """Every name by which kubectl knows an object of ours."""
    definitions = [custom_resource_definition(), sweep_definition(), *map(runtime_definition, RUNTIME_KINDS)]
    found: set[str] = set()
    for names in (definition["spec"]["names"] for definition in definitions):
        found |= {names["plural"], names["singular"], *names.get("shortNames", ())}
    return found


def _kubectl(arguments: list[str]) -> str:
    plain = [word for word in arguments if not word.startswith("-")]
    kinds = plain[1].partition(".")[0].partition("/")[0].split(",") if len(plain) > 1 else []
    unknown = [kind for kind in kinds if "llm" in kind and kind not in resources()]
    return f"kubectl knows no {unknown[0]}" if unknown else ""


def _helm(arguments: list[str]) -> str:
    settings = [b for a, b in pairwise(arguments) if a in ("--set", "--set-json")]
    for setting in settings:
        if wrong := unknown_value(setting.partition("=")[0].split(".")):
            return wrong
    return ""


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
