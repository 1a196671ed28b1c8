"""`llmtrain generate` and `llmtrain chat`: what is written, what ends it, and what is refused."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
import transformers
from harness.children import environment
from harness.trainer.tiny_models import TURN_END, write_llama

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.inference.chat import Dialogue, talk
from llmtrain_trainer.inference.folder import Opened, located, opened
from llmtrain_trainer.inference.writing import Sampling, prompt_ids, stops, visible, write

CPU = torch.device("cpu")
GREEDY = Sampling(tokens=12, temperature=0)
DEADLINE = 120.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("model") / "export")


@pytest.fixture
def model(folder: Path) -> Opened:
    return opened(folder, CPU)


def test_text_comes_in_pieces_and_is_what_transformers_draws(model: Opened) -> None:
    pieces: list[str] = []
    ids = prompt_ids(model, "Hello world,")
    added = write(model, ids, GREEDY, pieces.append)
    given = torch.tensor([ids])
    expected = model.model.generate(given, max_new_tokens=12, do_sample=False, eos_token_id=stops(model))
    assert added == expected[0, len(ids) :].tolist()
    assert "".join(pieces).strip() == visible(model.tokenizer.decode(added, skip_special_tokens=True)).strip()
    assert len(pieces) > 1


def test_a_draw_follows_from_its_seed(model: Opened) -> None:
    def drawn(seed: int) -> list[int]:
        return write(model, prompt_ids(model, "Hello"), Sampling(tokens=12, seed=seed), lambda _: None)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_an_answer_ends_with_its_turn_though_no_file_says_so(model: Opened) -> None:
    end = model.tokenizer.convert_tokens_to_ids(TURN_END)
    assert end not in (model.tokenizer.eos_token_id, model.model.generation_config.eos_token_id)
    assert end in stops(model)
    with torch.no_grad():  # a model that always ends its turn
        model.model.lm_head.weight.zero_()
        model.model.lm_head.weight[end] = 1000 * model.model.model.norm.weight.sign()
    model.model.model.norm.register_forward_hook(lambda *_: torch.ones(1, 1, 32))
    assert write(model, prompt_ids(model, "Hello"), GREEDY, lambda _: None) == [end]


def test_what_is_asked_next_comes_after_what_was_said(model: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []

    def answered(_: Opened, ids: Sequence[int], __: Sampling, show: object) -> list[int]:
        seen.append(list(ids))
        show("Fine.")  # type: ignore[operator]
        return []

    monkeypatch.setattr("llmtrain_trainer.inference.chat.write", answered)
    out = io.StringIO()
    talk(
        Dialogue(model, GREEDY, "Be brief."),
        iter(["How are you?\n", "\n", "And now?\n", "/exit\n", "no\n"]),
        out,
    )
    expected = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How are you?"},
        {"role": "assistant", "content": "Fine."},
        {"role": "user", "content": "And now?"},
    ]
    rendered = model.tokenizer.apply_chat_template(expected, add_generation_prompt=True, return_dict=False)
    assert seen[-1] == list(rendered)
    assert len(seen) == 2
    assert out.getvalue() == "Fine.Fine."


def test_a_long_dialogue_forgets_its_beginning_and_says_so(tmp_path: Path) -> None:
    small = opened(write_llama(tmp_path / "small", positions=96), CPU)
    dialogue, out = Dialogue(small, GREEDY, "Be brief."), io.StringIO()
    talk(dialogue, iter([f"Hello world {number}, how are you?\n" for number in range(8)]), out)
    assert "left out" in out.getvalue()
    assert dialogue.messages[0] == {"role": "system", "content": "Be brief."}
    assert dialogue.messages[1]["role"] == "user"
    assert "error" not in out.getvalue()


def test_a_message_that_has_no_room_is_an_error_and_the_dialogue_goes_on(tmp_path: Path) -> None:
    small = opened(write_llama(tmp_path / "small", positions=64), CPU)
    dialogue, out = Dialogue(small, GREEDY), io.StringIO()
    talk(dialogue, iter(["Hello " * 200 + "\n", "Hello?\n"]), out)
    assert "error: the prompt has" in out.getvalue()
    assert [one["content"] for one in dialogue.messages if one["role"] == "user"] == ["Hello?"]


def test_no_text_of_a_model_moves_the_cursor() -> None:
    assert visible("a\x1b[2Jb\r\x07c\n\td\u202e") == "a[2Jbc\n\td"


def test_the_output_folder_of_a_job_is_enough(folder: Path) -> None:
    assert located(folder.parent) == folder


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ((), "is no folder"),
        (("checkpoints",), "no export yet: the job has not ended"),
        (("data",), "has no config.json; name the export folder"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, made: tuple[str, ...], message: str) -> None:
    for name in made:
        (tmp_path / "output" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=message):
        located(tmp_path / "output")


def test_a_model_that_writes_no_text_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16
    )
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="BertForMaskedLM, which fills gaps"):
        opened(tmp_path, CPU)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    write_llama(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be opened"):
        opened(tmp_path, CPU)


def test_no_dialogue_without_a_template(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no chat template"):
        Dialogue(opened(write_llama(tmp_path, template=None), CPU), GREEDY)


def _own_terminal() -> None:
    """Ctrl-C goes to whose terminal it is, also where a shell had this run ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`llmtrain chat` in a real terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "llmtrain", "chat", str(folder), "--tokens", "8"]
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="dumb"),
        preexec_fn=_own_terminal,
    )
    os.close(theirs)
    yield ours, process
    if process.poll() is None:
        process.kill()
    process.wait()
    os.close(ours)


def _until(terminal: int, end: str) -> str:
    text, limit = "", time.monotonic() + DEADLINE
    while not text.endswith(end):
        left = limit - time.monotonic()
        assert select.select([terminal], [], [], max(0.0, left))[0], text
        text += os.read(terminal, 1024).decode(errors="replace")
    return text


def _interrupt(terminal: int) -> None:
    """Press Ctrl-C until it is answered.

    Where a signal comes just before `input` waits for a key, Python notices it with the next key only.
    """
    limit = time.monotonic() + DEADLINE
    os.write(terminal, b"\x03")
    while not select.select([terminal], [], [], 5.0)[0]:
        assert time.monotonic() < limit, "no answer to Ctrl-C"
        os.write(terminal, b"\x03")


def test_a_person_talks_in_a_terminal(terminal: tuple[int, subprocess.Popen[bytes]]) -> None:
    line, process = terminal
    assert "/exit or Ctrl-D ends" in _until(line, "> ")
    os.write(line, b"Hello world\n")
    assert len(_until(line, "\n> ").splitlines()) > 1
    os.write(line, b"half a line")
    _until(line, "line")  # it reads, and does not only say that it will
    _interrupt(line)
    assert "Ctrl-C again" in _until(line, "> ")
    os.write(line, b"/exit\n")
    assert process.wait(DEADLINE) == 0
