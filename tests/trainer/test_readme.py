"""README's first page and the laptop's quickstart, done: rows, manifest, commands; a small model on a hub."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.children import ROOT, environment
from harness.hub import hub
from harness.trainer.tiny_models import write_llama

from llmtrain_operator.local.console_text import COLUMNS

PAGE = (ROOT / "README.md").read_text().split("\n## ")[0]
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text().split("\n## On a cluster")[0]
OTHERS = 90
"""Rows beside README's: of two alone none can be held out."""
SECONDS = 400
pytestmark = pytest.mark.timeout(900)


def blocks(language: str, page: str = PAGE) -> list[str]:
    """Fenced blocks of a page in a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def typed(page: str) -> list[str]:
    """The commands of a page that are ours."""
    lines = [line for block in blocks("console", page) for line in block.splitlines()]
    return [line[2:] for line in lines if line.startswith("$ llmtrain")]


[ROWS], [MANIFEST] = blocks("json"), blocks("yaml")
LINES = [line for block in blocks("console") for line in block.splitlines()]
COMMANDS = {line.split()[1]: line for line in typed(PAGE)}
LOOKS = [line for line in typed(QUICKSTART) if line not in COMMANDS.values()]
[ASKED] = [line[2:] for line in LINES if line.startswith("> ")]


@dataclass
class Reader:
    """Somebody who does in a folder what the page says."""

    folder: Path
    env: dict[str, str]

    def does(self, verb: str, told: str = "") -> str:
        """The page's command with this verb; what it prints."""
        return self.types(COMMANDS[verb], told)

    def types(self, command: str, told: str = "") -> str:
        """A command; what it prints."""
        done = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self.env,
            input=told,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    data = folder / "runs" / "data" / "dialogues"
    data.mkdir(parents=True)
    (data / "mine.jsonl").write_text(ROWS)
    more = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine, thanks."}]
    rows = [[{**more[0], "content": f"Hello {number}, how are you?"}, more[1]] for number in range(OTHERS)]
    (data / "more.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    (folder / "helpdesk.yaml").write_text(MANIFEST)
    (folder / "bin").mkdir()
    (folder / "bin" / "llmtrain").symlink_to(ROOT / "hack" / "llmtrain")
    model = write_llama(folder / "model")
    with hub() as made:
        name = yaml.safe_load(MANIFEST)["spec"]["model"]["name"]
        made.repository(f"models/{name}", {path.name: path.read_bytes() for path in model.iterdir()})
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        yield Reader(folder, environment(PATH=path, HF_ENDPOINT=made.endpoint, HF_HOME=str(folder / "home")))


@pytest.fixture(scope="module")
def ran(reader: Reader) -> str:
    return reader.does("run")


def test_check_shows_how_the_pages_dialogues_are_read(reader: Reader) -> None:
    told = reader.does("check")
    assert "LlamaForCausalLM" in told
    assert "Is its cable plugged in?" in told or "Fine, thanks." in told


def test_the_manifest_makes_a_model(reader: Reader, ran: str) -> None:
    assert "Succeeded" in ran
    output = reader.folder / "runs" / "checkpoints" / "helpdesk"
    assert (output / "export" / "adapter" / "adapter_model.safetensors").exists()
    assert f"llmtrain chat {output}" in ran
    report: dict[str, Any] = json.loads((output / "data" / "report.json").read_text())
    assert report["read"]["files"] == 2
    assert sum(report["documents"].values()) == OTHERS + len(ROWS.splitlines())


@pytest.mark.usefixtures("ran")
def test_it_is_talked_with(reader: Reader) -> None:
    assert reader.does("chat", f"{ASKED}\n").strip()


@pytest.mark.usefixtures("ran")
def test_it_writes(reader: Reader) -> None:
    assert reader.does("generate").strip()


@pytest.mark.usefixtures("ran")
def test_it_is_measured_on_other_dialogues(reader: Reader) -> None:
    """`llmtrain eval`: the job that it makes runs, and only the figures are on its output."""
    told = reader.types("llmtrain eval runs/checkpoints/helpdesk runs/data/dialogues/more.jsonl -o json")
    found = json.loads(told)
    assert found["perplexity"] > 1
    assert found["data"]["files"] == 1
    assert "exportUri" not in found, "nothing was trained"
    saved = json.loads((reader.folder / "runs/evaluations/eval-helpdesk/results.json").read_text())
    assert saved["perplexity"] == found["perplexity"]


def test_the_tables_on_the_page_are_those_of_kubectl() -> None:
    header = next(at for at, line in enumerate(LINES) if line.startswith("NAME"))
    assert tuple(LINES[header].split()) == COLUMNS
    shown = LINES[header + 1].split()
    assert len(shown) == len(COLUMNS)
    assert shown[0] == yaml.safe_load(MANIFEST)["metadata"]["name"]


def test_the_page_is_short() -> None:
    assert len(MANIFEST.splitlines()) <= 12


def test_the_quickstart_has_the_pages_rows_manifest_and_commands() -> None:
    assert blocks("json", QUICKSTART) == [ROWS]
    assert blocks("yaml", QUICKSTART) == [MANIFEST]
    assert set(COMMANDS.values()) <= set(typed(QUICKSTART))


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize("command", LOOKS, ids=lambda command: command.split()[1])
def test_the_quickstart_looks_at_the_job(reader: Reader, command: str) -> None:
    shown = {"checkpoints": "newest", "logs": "helpdesk", "why": "has succeeded"}
    assert shown.get(command.split()[1], "Succeeded") in reader.types(command)
