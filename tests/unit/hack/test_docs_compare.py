"""The comparison counts what it shows, and each command of ours in it is run by a test that is there."""

from __future__ import annotations

import ast
import re

import pytest
import yaml

from docsite import markdown
from docsite.navigation import DOCS, ROOT
from llmtrain.cli.app import main
from llmtrain_api import parse_manifest

PAGE = DOCS / "compare.md"
FOLDER = DOCS / "compare"
OURS = "LLMTrainingJob"
TEXT = PAGE.read_text()
TASKS = {
    part.partition("\n")[0]: part
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    if "```sh" in part
}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|")
]
HEAD, COUNTED = ROWS[0], {row[0]: row[1:] for row in ROWS[2:]}
FILES = {OURS: "llmtrainingjob", "TrainJob": "trainjob", "HyperPodPyTorchJob": "hyperpod"}
FILES |= {"SkyPilot": "skypilot", "PyTorchJob": "pytorchjob"}


def commands(task: str) -> dict[str, list[str]]:
    """The commands of a task by tool."""
    [fence] = markdown.parse(TASKS[task]).fences
    found: dict[str, list[str]] = {}
    for line in fence.text.splitlines():
        if line.startswith("# "):
            found[line[2:]] = []
        else:
            found[list(found)[-1]].append(line)
    return found


def test_the_table_is_what_the_page_shows() -> None:
    assert HEAD[2:] == [task[0].lower() + task[1:] for task in TASKS]
    for tool, cells in COUNTED.items():
        lines = len((FOLDER / f"{FILES[tool]}.yaml").read_text().splitlines())
        counted = [str(len(commands(task)[tool])) if tool in commands(task) else "–" for task in TASKS]
        assert cells == [str(lines), *counted], tool
    assert COUNTED.keys() == FILES.keys()


@pytest.mark.parametrize("task", TASKS)
def test_each_command_of_ours_is_run_by_a_test_that_is_there(task: str) -> None:
    [named] = re.findall(r"<!-- tests: (.+?) -->", TASKS[task])
    sources = [source_of(test) for test in named.split()]
    for line in commands(task)[OURS]:
        verb = line.split()[1]
        assert any(re.search(rf"\b{verb}\b", source) for source in sources), line


def source_of(test: str) -> str:
    """The source of a test."""
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text()
    [node] = [one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef) and one.name == name]
    return str(ast.get_source_segment(text, node))


def test_our_manifest_is_valid_and_each_is_the_same_job() -> None:
    parse_manifest(yaml.safe_load((FOLDER / "llmtrainingjob.yaml").read_text()))
    for name in FILES.values():
        text = (FOLDER / f"{name}.yaml").read_text()
        assert all(word in text for word in ("llama-sft", "Qwen/Qwen2.5-7B", "dialogues", "checkpoints")), (
            name
        )


def test_the_pytorchjob_is_imported_as_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(FOLDER / "pytorchjob.yaml")]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    parse_manifest(made)
    assert (made["spec"]["nodes"], made["spec"]["gpusPerNode"]) == (4, 8)
