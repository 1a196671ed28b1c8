"""What the documents tell people to type or to apply is what the programs and the contract take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from harness.documents import LANGUAGES, Block, blocks, check_json, check_python, check_yaml
from harness.typed_commands import command_lines, commands, make_targets, wrong_command

from docsite import markdown, navigation
from docsite.markdown import Fence
from docsite.navigation import ROOT
from llmtrain.cli.app import PASSED_ON, VERBS
from llmtrain_api import InvalidJob

TYPED = sorted(
    {(block.page, line) for block in blocks("sh", "console") for line in command_lines(block.fence)}
)
CHECKS = {"yaml": check_yaml, "json": check_json, "python": check_python}
VERB = re.compile(r"(?:hack/|kubectl )?llmtrain ([a-z]\S*)|make ([a-z-]+)")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_says_what_it_is() -> None:
    assert [block.place for block in blocks() if block.fence.language not in LANGUAGES] == []
    assert all(command_lines(block.fence) for block in blocks("sh"))


@pytest.mark.parametrize(("page", "line"), TYPED, ids=[f"{page}: {line[:60]}" for page, line in TYPED])
def test_a_command_is_taken(page: str, line: str, here: Path) -> None:
    found = [wrong for words in commands(line) if (wrong := wrong_command(words, here))]
    assert not found, f"{page}: {line}"


@pytest.mark.parametrize("block", blocks(*CHECKS), ids=lambda block: block.place)
def test_a_block_is_valid(block: Block) -> None:
    CHECKS[block.fence.language](block.fence.text)


def test_tests_and_benches_within_the_text_exist(here: Path) -> None:
    typed = [
        (page, code.target)
        for page in sorted(navigation.pages())
        for code in markdown.read(ROOT / page).codes
        if code.target.startswith(("hack/test ", "python3 -m ", "python -m bench"))
    ]
    assert len(typed) > 15
    wrong = [f"{page}: {told}" for page, line in typed if (told := wrong_command(shlex.split(line), here))]
    assert not wrong


def test_verbs_and_targets_within_the_text_exist() -> None:
    verbs = {name for _, name, _ in VERBS} | set(PASSED_ON)
    seen = 0
    for page in sorted(navigation.pages() - {"CHANGELOG.md"}):
        for code in markdown.read(ROOT / page).codes:
            if told := VERB.match(code.target):
                seen += 1
                verb, target = told.groups()
                assert verb in verbs if verb else target in make_targets(), (
                    f"{page}:{code.line}: {code.target}"
                )
    assert seen > 40


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("llmtrain tarin job.yaml", "tarin"),
        ("llmtrain check job.yaml --dta", "--dta"),
        ("llmtrain run", "Missing argument"),
        ("llmtrain run examples/nothing.yaml", "there is no examples/nothing.yaml"),
        ("llmtrain logs a | kubectl llmtrain shwo a", "shwo"),
        ("llmtrain generate", "does not take"),
        ("llmtrain chat FOLDER --sytem x", "does not take"),
        ("hack/llmtrain ls --al", "--al"),
        ("make tset", "no target tset"),
        ("hack/test uint", "no layer uint"),
        ("hack/test --proofs unit -k test_nothing_of_this_name", "no test of unit is test_nothing"),
        ('hack/test unit -k "test_docs or test_nothing_of_this_name"', "no test of unit is test_nothing"),
        ("hack/nothing up", "there is no hack/nothing"),
        ('eval "$(hack/cluster evn)"', "does not take"),
        ("python3 -m bench.nothing", "bench.nothing"),
        ("kubectl get llmjbo", "knows no llmjbo"),
        ("helm install a helm/llm-training-operator --set web.enable=true", "no value web.enable"),
        ("LLMTRAIN_X=1 kubctl get pods", "no program kubctl"),
    ],
)
def test_a_command_that_is_wrong_is_found(line: str, wrong: str, here: Path) -> None:
    found = [told for words in commands(line) if (told := wrong_command(words, here))]
    assert len(found) == 1
    assert wrong in found[0]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("spec: {nodes: 0}", "spec.nodes"),
        ("training: {zeroStge: 1}", "zeroStge"),
        (
            "apiVersion: llmtrain.dev/v1alpha1\nkind: LLMTrainingJob\nmetadata: {name: a}\nspec: {}",
            "spec.output",
        ),
        ("apiVersion: llmtrain.dev/v1alpha1\nkind: LLMTrainingJbo", "no kind LLMTrainingJbo"),
        ("web: {enable: true}", "no value web.enable"),
    ],
)
def test_yaml_that_is_wrong_is_found(text: str, wrong: str) -> None:
    with pytest.raises((InvalidJob, AssertionError), match=re.escape(wrong)):
        check_yaml(text)


@pytest.mark.parametrize(
    "text",
    [
        "def f(:",
        "import nothing_of_this_name",
        "from llmtrain import Clinet",
        "client = Client()\nclient.trian('a')",
        "client = Client()\nclient.train('a', setings=[])",
    ],
)
def test_python_that_is_wrong_is_found(text: str) -> None:
    with pytest.raises((SyntaxError, ImportError, AssertionError, AttributeError, TypeError)):
        check_python(text)


def test_lines_are_taken_apart_as_a_shell_does() -> None:
    told = command_lines(Fence(1, "console", "$ a b \\\n    c\noutput\n$ d | e\n> typed\n"))
    assert told == ["a b c", "d | e"]
    line = "(kubectl get x -o yaml; echo ---) > both.yaml && A=1 make try # why"
    assert [shlex.join(words) for words in commands(line)] == [
        "kubectl get x -o yaml",
        "echo ---",
        "make try",
    ]
