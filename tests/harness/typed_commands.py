"""What the documents tell people to type, taken apart and given to the programs' own parsers."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

import testlayers
from barecluster.__main__ import parser as clusters_parser
from docsite.markdown import Fence
from docsite.navigation import ROOT
from harness.documents import unknown_value
from llmtrain.cli.app import PASSED_ON
from llmtrain.cli.app import command as program
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_api.generate.runtime_crd import RUNTIME_KINDS, runtime_definition
from llmtrain_api.generate.sweep_crd import sweep_definition
from llmtrain_trainer.__main__ import parser as trainers_parser

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
    group = program()
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
    names = [layer.name for layer in testlayers.LAYERS]
    plain = [word for word in arguments if not word.startswith("-")]
    if plain and plain[0] not in names:
        return f"hack/test has no layer {plain[0]}"
    if "-k" not in arguments:
        return ""
    tests = [(path.name, path.read_text()) for path in (ROOT / "tests" / plain[0]).rglob("test_*.py")]
    for wanted in arguments[arguments.index("-k") + 1].split(" or "):
        if not any(wanted in name or f"def {wanted}" in text for name, text in tests):
            return f"no test of {plain[0]} is {wanted}"
    return ""


def _hack_cluster(arguments: list[str]) -> str:
    return _by_argparse(clusters_parser(), arguments)


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
