"""What a person sees of each verb at a terminal of 80 columns: its help, and what it says to a wrong word."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import pairwise

import pytest
from harness.terminal import LOADED, at_a_terminal

from llmtrain.cli.app import VERBS, command, flowing

# what a command loads is paid once, before the forks
for _name in ("rich.markup", "rich.panel", "typer.rich_utils", *LOADED):
    import_module(_name)
command()
COLUMNS = 80
BOLD = re.compile(r"\x1b\[[0-9;]*m")
NAMES = [name for _, name, _ in VERBS]


def typed(*words: str) -> tuple[int, list[str]]:
    """The exit code and the lines that are printed."""
    variables = {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "NO_COLOR": "1"}
    done = at_a_terminal(list(words), variables)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", done["told"]), "no colours"
    return done["code"], BOLD.sub("", done["told"]).replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("verb", NAMES)
def test_help_fills_its_lines_and_goes_over_none(verb: str) -> None:
    code, lines = typed(verb, "--help")
    assert code == 0
    assert f"Usage: llmtrain {verb} " in "\n".join(lines)
    assert max(map(len, lines)) <= COLUMNS
    assert not re.search(r"\[\[|\.\.\.\.", "\n".join(lines[:4])), "brackets or dots twice"
    text = lines[: next(at for at, line in enumerate(lines) if line.startswith("╭"))]
    for line, following in pairwise(text):
        first = following.split()[:1]
        fits = first and len(line.rstrip()) + 1 + len(first[0]) < COLUMNS
        assert not (fits and line.strip()), f"{line!r} ends before its line does"


@pytest.mark.parametrize("verb", NAMES)
def test_a_wrong_option_is_a_mistake_of_the_command(verb: str) -> None:
    code, lines = typed(verb, "--no-such-option")
    assert code == 2
    assert f"Try 'llmtrain {verb} -h' for help." in lines
    assert any("No such option: --no-such-option" in line for line in lines)


def test_paragraphs_are_kept_and_their_lines_are_not() -> None:
    assert flowing("One\nsentence.\n\n    And\n    another.\n") == "One sentence.\n\nAnd another."
    assert flowing(None) == ""
