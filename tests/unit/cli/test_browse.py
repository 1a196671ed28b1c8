"""``llmtrain open``, with a kubectl that forwards to nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtrain.cli import browse
from llmtrain.cli.app import main

KUBECTL = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
case "$*" in
  *"get services"*) {services} ;;
  *"config view"*) printf research ;;
  *port-forward*) {forward} ;;
esac
"""
WEB = 'echo "llm-training-operator-web 80"'
FORWARD = 'echo "Forwarding from 127.0.0.1:43210 -> 8080"'


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(browse.webbrowser, "open", found.append)
    return found


def kubectl(
    folder: Path, monkeypatch: pytest.MonkeyPatch, services: str = WEB, forward: str = FORWARD
) -> Path:
    log = folder / "log"
    program = folder / "kubectl"
    program.write_text(KUBECTL.format(log=log, services=services, forward=forward))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def test_the_page_of_a_job_is_forwarded_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    log = kubectl(tmp_path, monkeypatch)
    assert main(["open", "tiny"]) == 0
    assert opened == ["http://127.0.0.1:43210/#/job/research/tiny"]
    assert capsys.readouterr().out == f"{opened[0]}\n"
    said = log.read_text()
    assert "-n llmtrain-system port-forward service/llm-training-operator-web :80 --address 127.0.0.1" in said


def test_the_list_of_jobs_is_printed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    log = kubectl(tmp_path, monkeypatch, services='echo "llm-training-operator-web 443"')
    assert main(["open", "--no-browser", "--operator-namespace", "ml", "--context", "big"]) == 0
    assert capsys.readouterr().out == "https://127.0.0.1:43210/#/jobs\n"
    assert opened == []
    assert all(line.startswith("--context big -n ml ") for line in log.read_text().splitlines())


@pytest.mark.parametrize(
    ("services", "forward", "code", "words"),
    [
        ("true", FORWARD, 2, "there is no page in namespace llmtrain-system: web.enabled=true"),
        ("echo no such server >&2; exit 1", FORWARD, 1, "no such server"),
        (WEB, "exit 1", 1, "kubectl did not forward port 80"),
    ],
)
def test_what_is_in_the_way_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
    services: str,
    forward: str,
    code: int,
    words: str,
) -> None:
    kubectl(tmp_path, monkeypatch, services, forward)
    assert main(["open"]) == code
    assert words in capsys.readouterr().err
    assert opened == []


def test_without_kubectl_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["open"]) == 2
    assert "kubectl is not here" in capsys.readouterr().err
