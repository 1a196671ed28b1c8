"""A dialogue in a terminal, or over lines that another program writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from ..errors import ConfigError
from .folder import Opened
from .writing import Sampling, Show, write

Message = dict[str, str]
HELP = "/reset begins anew, /exit or Ctrl-D ends, Ctrl-C stops an answer"


class Dialogue:
    """What was said so far, and the next answer.

    Args:
        opened: the model.
        sampling: how tokens are chosen; each answer has a seed of its own.
        system: what the model is told before all.

    Raises:
        ConfigError: the model has no chat template.
    """

    def __init__(self, opened: Opened, sampling: Sampling, system: str | None = None) -> None:
        if not opened.tokenizer.chat_template:
            raise ConfigError(
                "this model's tokenizer has no chat template, so it was not made for dialogues",
                "use `llmtrain generate FOLDER PROMPT`, or train with task: chat",
            )
        self._opened, self._sampling = opened, sampling
        self._first: list[Message] = [{"role": "system", "content": system}] if system else []
        self.messages: list[Message] = [*self._first]

    def reset(self) -> None:
        """Forget all but the system message."""
        self.messages = [*self._first]

    def answer(self, text: str, show: Show) -> int:
        """Add a user's message and the model's answer; what was said first is forgotten where it has no room.

        Returns:
            How many messages were forgotten.

        Raises:
            ConfigError: the message alone has no room.
        """
        self.messages.append({"role": "user", "content": text})
        forgotten = 0
        while len(ids := self._ids()) + self._least > self._opened.room and self._forget():
            forgotten += 1
        shown: list[str] = []

        def keep(piece: str) -> None:
            shown.append(piece)
            show(piece)

        try:
            write(self._opened, ids, self._sampling, keep)
        except ConfigError:
            self.messages.pop()
            raise
        finally:
            if shown:  # also where it was stopped
                self.messages.append({"role": "assistant", "content": "".join(shown).strip()})
        return forgotten

    @property
    def _least(self) -> int:
        """Tokens that an answer must have room for."""
        return min(self._sampling.tokens, self._opened.room // 4)

    def _forget(self) -> bool:
        """Drop the oldest message and what follows it up to the next of the user; whether there was one."""
        first = len(self._first)
        asked = [at for at, one in enumerate(self.messages) if at > first and one["role"] == "user"]
        if not asked:
            return False
        del self.messages[first : asked[0]]
        return True

    def _ids(self) -> list[int]:
        rendered: Any = self._opened.tokenizer.apply_chat_template(
            self.messages, add_generation_prompt=True, return_dict=False
        )
        return [int(one) for one in rendered]


def talk(dialogue: Dialogue, lines: Iterator[str], out: TextIO) -> None:
    """Answer line after line until there are no more.

    Args:
        dialogue: with the model.
        lines: what the user writes.
        out: where answers go.
    """

    def show(piece: str) -> None:
        out.write(piece)
        out.flush()

    for line in lines:
        text = line.strip()
        if text in ("/exit", "/quit"):
            return
        if text == "/reset":
            dialogue.reset()
        elif text == "/help":
            show(HELP + "\n")
        elif text:
            _answer(dialogue, text, show)


def _answer(dialogue: Dialogue, text: str, show: Show) -> None:
    try:
        forgotten = dialogue.answer(text, show)
    except KeyboardInterrupt:
        show("\n(stopped)\n")
    except ConfigError as error:
        show(f"error: {error}\n")
    else:
        if forgotten:
            show("(the beginning of this dialogue has no room any more and was left out)\n")


def typed(prompt: str) -> Iterator[str]:
    """Lines of a person in a terminal; Ctrl-D ends them, and so does a second Ctrl-C."""
    import readline  # noqa: F401  # history and editing for input()

    stopped = False
    while True:
        try:
            line = input(prompt)
        except EOFError:
            return
        except KeyboardInterrupt:
            if stopped:
                return
            stopped = True
            print("\n(Ctrl-C again, or /exit, ends)")
            continue
        stopped = False
        yield line
