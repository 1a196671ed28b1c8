"""Rows of real text that lies on a Debian machine, for each task: made when they are asked for, in the same
order each time, and kept nowhere.

- what programs say, and its translations: gettext catalogues;
- what packages are: the records of dpkg;
- code and what it says of itself: the sources of Python's standard library, and of the Kubernetes client.
"""

from __future__ import annotations

import ast
import io
import keyword
import random
import sysconfig
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes.client
from harness.catalogues import LOCALES, messages

Row = dict[str, Any]
LANGUAGES = ("de", "es", "fr", "it", "nl", "pl")
NAMES_OF_PLACES = "iso_"
"""Catalogues with the names of countries, places and languages, most of which no language changes."""
DESKTOP = ("gtk20", "gtk20-properties", "glib20", "gsettings-desktop-schemas", "shared-mime-info")
"""Their messages are short and have much in common."""
DPKG = Path("/var/lib/dpkg/status")
LONGEST_LINE = 100


class NoCorpus(Exception):
    """The machine does not have what the rows are made of."""


@cache
def translated(language: str, programs: tuple[str, ...] = ()) -> dict[str, str]:
    """Short English messages of several words and what they are in a language, by the message.

    Args:
        language: its code.
        programs: whose catalogues are read; all where none is named.

    Raises:
        NoCorpus: there are too few of them.
    """

    def wanted(program: str) -> bool:
        return not program.startswith(NAMES_OF_PLACES) and (not programs or program in programs)

    found = messages(language, wanted)
    several = {key: text for key, text in sorted(found.items()) if " " in key and key != text}
    if len(several) < 1000:
        told = ", ".join(programs) or "programs with catalogues"
        raise NoCorpus(f"{LOCALES}/{language} has {len(several)} messages: install {told}")
    return several


def translations() -> list[Row]:
    """An English message of what a desktop is built of, and the same in German."""
    return [{"english": key, "german": text} for key, text in translated("de", DESKTOP).items()]


def languages() -> list[Row]:
    """A message, and the language that it is in; the same messages in none."""
    found = {text: name for name in LANGUAGES for text in translated(name).values()}
    return [{"text": text, "label": name} for text, name in found.items()]


@cache
def stdlib() -> tuple[tuple[str, ast.Module], ...]:
    """The text and the tree of each module of the standard library that is in no package, by name."""
    root = Path(sysconfig.get_path("stdlib"))
    return tuple(_parsed(file) for file in sorted(root.glob("*.py")))


def _parsed(file: Path) -> tuple[str, ast.Module]:
    text = file.read_text(encoding="utf-8", errors="replace")
    return text, ast.parse(text)


def _functions() -> Iterator[ast.FunctionDef]:
    for _, tree in stdlib():
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def parameters() -> list[Row]:
    """The head of a function, and how many parameters it has."""
    found: dict[str, int] = {}
    for node in _functions():
        taken = node.args
        many = len(taken.posonlyargs) + len(taken.args) + len(taken.kwonlyargs)
        many += (taken.vararg is not None) + (taken.kwarg is not None)
        found[f"def {node.name}({ast.unparse(taken)})"] = many
    return [{"text": text, "stars": many} for text, many in found.items() if len(text) <= LONGEST_LINE]


def summaries() -> list[Row]:
    """What a function is called, and the first sentence that it says of itself, as a dialogue."""
    found: dict[str, str] = {}
    for node in _functions():
        said = (ast.get_docstring(node) or "").split("\n\n")[0].split(". ")[0]
        said = " ".join(said.split()).rstrip(".")
        if not node.name.startswith("_") and 16 <= len(said) <= LONGEST_LINE:
            found.setdefault(node.name, said)
    return [
        {
            "messages": [
                {"role": "user", "content": f"What does {name} do?"},
                {"role": "assistant", "content": f"{said}."},
            ]
        }
        for name, said in found.items()
    ]


def sentences() -> list[Row]:
    """What functions and classes say of themselves first; no two begin with the same words."""
    found: dict[str, str] = {}
    for _, tree in stdlib():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            said = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            if 48 <= len(said) <= 120:
                found.setdefault(said[:20], said)
    return [{"text": said} for said in found.values()]


def word_orders() -> list[Row]:
    """What a function says of itself first, and the same words in another order, which is worse."""
    dice, found = random.Random(5), []
    for row in summaries():
        question, answer = (message["content"] for message in row["messages"])
        words = answer.rstrip(".").split()
        shuffled = dice.sample(words, len(words))
        if shuffled != words:
            other = " ".join(shuffled) + "."
            found.append({"prompt": question, "chosen": answer, "rejected": other})
    return found


def judged_orders() -> list[Row]:
    """Of each of these pairs one answer, in turn the good one and the other one."""
    return [
        {"prompt": row["prompt"], "completion": row["rejected" if at % 2 else "chosen"], "label": not at % 2}
        for at, row in enumerate(word_orders())
    ]


def words_of_code() -> list[Row]:
    """A line of code as words, and what each is: a keyword, what is called, defined or an attribute."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for text, _ in stdlib():
        for words in _lines(text):
            if 5 <= len(words) <= 20 and len(" ".join(words)) <= LONGEST_LINE:
                found.setdefault(tuple(words), _tags(words))
    return [{"tokens": list(words), "tags": list(tags)} for words, tags in found.items()]


def _lines(text: str) -> Iterator[list[str]]:
    line: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING):
            line.append(token.string)
        elif token.type == tokenize.NEWLINE:
            yield line
            line = []


def _tags(words: list[str]) -> tuple[str, ...]:
    around = zip(["", *words], words, [*words[1:], ""], strict=False)
    return tuple(_tag(before, word, after) for before, word, after in around)


def _tag(before: str, word: str, after: str) -> str:
    if not word.isidentifier():
        return "O"
    if keyword.iskeyword(word):
        return "B-KEYWORD"
    if before in ("def", "class"):
        return "B-DEFINED"
    if after == "(":
        return "B-CALLED"
    return "B-ATTRIBUTE" if before == "." else "B-NAME"


QUESTIONS = {
    "Package": "What is it called?",
    "Version": "Which version is it?",
    "Maintainer": "Who maintains it?",
    "Section": "Where does it belong?",
    "Installed-Size": "How large is it?",
}
"""What is asked of a package, by the field that answers."""


def packages() -> list[Row]:
    """The record of an installed package, and a question whose answer stands in it.

    Raises:
        NoCorpus: it is no Debian.
    """
    if not DPKG.is_file():
        raise NoCorpus(f"{DPKG} is not there: this is no Debian")
    found = []
    for record in DPKG.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        lines = [line for line in record.splitlines() if line.partition(":")[0] in QUESTIONS]
        context = "\n".join(lines)
        for name, question in QUESTIONS.items():
            known = next((line for line in lines if line.startswith(f"{name}: ")), "")
            answer = known.removeprefix(f"{name}: ")
            if answer:
                at = context.index(known) + len(name) + 2
                answers = {"text": [answer], "answer_start": [at]}
                found.append({"question": question, "context": context, "answers": answers})
    return found


LONGEST_ARTICLE = 280
GENERATED = "# noqa: E501"
"""What the client's own maker leaves in its text."""


def documented() -> list[Row]:
    """What functions and classes of the Kubernetes client, which this project asks, say of themselves after
    the first sentence, and this sentence; no two have the same one."""
    found: dict[str, str] = {}
    for file in sorted(Path(kubernetes.client.__path__[0]).rglob("*.py")):
        for node in ast.walk(_parsed(file)[1]):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                said = (ast.get_docstring(node) or "").replace(GENERATED, "")
                first, _, rest = said.partition("\n\n")
                summary, article = (" ".join(part.split()) for part in (first, rest))
                if 16 <= len(summary) <= LONGEST_LINE and 40 <= len(article) <= LONGEST_ARTICLE:
                    found.setdefault(summary, article)
    return [{"article": article, "summary": summary} for summary, article in found.items()]


def passages() -> list[Row]:
    """All that these functions and classes say of themselves, as one text."""
    return [{"text": f"{row['summary']} {row['article']}"} for row in documented()]


def spread(rows: list[Row], count: int) -> list[Row]:
    """So many of the rows, spread over all of them; all where there are no more."""
    count = min(count, len(rows))
    return [rows[at * len(rows) // count] for at in range(count)]
