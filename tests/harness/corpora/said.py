"""What an exported folder says of rows, in plain transformers alone, as anybody would ask it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from harness.images import pictures
from sacrebleu.metrics.bleu import BLEU

from llmtrain_api import Task

Row = Mapping[str, Any]
LONGEST_SPAN = 30
"""Tokens of an answer that stands in a text."""
LONGEST_TEXT = 64
"""Tokens of a text that is written."""


@dataclass(frozen=True)
class Said:
    """What is said of one row.

    Attributes:
        asked: what is read.
        told: what the model says: one text, or one for each word that is asked.
        right: what it should say.
    """

    asked: str
    told: tuple[str, ...]
    right: tuple[str, ...]


def share(found: Sequence[Said]) -> float:
    """How much of what is told is right, of 100."""
    right = [one == known for row in found for one, known in zip(row.told, row.right, strict=True)]
    return 100 * sum(right) / len(right)


def bleu(found: Sequence[Said]) -> float:
    """BLEU of all texts together."""
    return float(BLEU().corpus_score([row.told[0] for row in found], [[row.right[0] for row in found]]).score)


def opened(folder: Path, task: Task) -> tuple[Any, Any]:
    """The model, by the class of its task, and its tokenizer."""
    model = getattr(transformers, task.auto_class).from_pretrained(folder, local_files_only=True)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def translations(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """German texts that are written of English ones."""
    return _written(folder, [(row["english"], row["german"]) for row in rows])


def summaries(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """A sentence that is written of each article, read as far as a job reads it."""
    return _written(folder, [(row["article"], row["summary"]) for row in rows])


@torch.no_grad()
def _written(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[Said]:
    model, tokenizer = opened(folder, Task.TEXT2TEXT)
    inputs = tokenizer([asked for asked, _ in pairs], padding=True, truncation=True, return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=LONGEST_TEXT, do_sample=False)
    written = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [
        Said(asked, (text.strip(),), (right,)) for (asked, right), text in zip(pairs, written, strict=True)
    ]


@torch.no_grad()
def classes(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The class of each text."""
    model, tokenizer = opened(folder, Task.CLASSIFICATION)
    inputs = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    pairs = zip(rows, model(**inputs).logits.argmax(-1).tolist(), strict=True)
    return [Said(row["text"], (model.config.id2label[one],), (row["label"],)) for row, one in pairs]


@torch.no_grad()
def whole_numbers(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The whole number that is nearest to the one of each text."""
    model, tokenizer = opened(folder, Task.REGRESSION)
    inputs = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    pairs = zip(rows, model(**inputs).logits[:, 0].tolist(), strict=True)
    return [Said(row["text"], (str(round(one)),), (str(row["stars"]),)) for row, one in pairs]


@torch.no_grad()
def tags(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The tag of each word, by its first token."""
    model, tokenizer = opened(folder, Task.TOKENS)
    found = []
    for row in rows:
        inputs = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        best, at = model(**inputs).logits[0].argmax(-1).tolist(), inputs.word_ids()
        told = tuple(model.config.id2label[best[at.index(number)]] for number in range(len(row["tokens"])))
        found.append(Said(" ".join(row["tokens"]), told, tuple(row["tags"])))
    return found


@torch.no_grad()
def answers(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The likeliest span of each context."""
    model, tokenizer = opened(folder, Task.QUESTIONS)
    found = []
    for row in rows:
        question, context = row["question"], row["context"]
        inputs = tokenizer(question, context, return_offsets_mapping=True, return_tensors="pt")
        offsets = inputs.pop("offset_mapping")[0].tolist()
        own = [at for at, text in enumerate(inputs.sequence_ids(0)) if text == 1]
        out = model(**inputs)
        starts, ends = out.start_logits[0].tolist(), out.end_logits[0].tolist()
        spans = [(first, last) for first in own for last in own if first <= last < first + LONGEST_SPAN]
        _, first, last = max((starts[first] + ends[last], first, last) for first, last in spans)
        told = context[offsets[first][0] : offsets[last][1]].strip()
        found.append(Said(f"{question} {context}", (told,), (row["answers"]["text"][0],)))
    return found


@torch.no_grad()
def replies(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The last answer of each dialogue, as the model writes it."""
    model, tokenizer = opened(folder, Task.CHAT)
    found = []
    for row in rows:
        *asked, answer = row["messages"]
        inputs = tokenizer.apply_chat_template(
            asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        begin = inputs["input_ids"].shape[1]
        ids = model.generate(inputs["input_ids"], max_new_tokens=LONGEST_TEXT, do_sample=False)
        told = tokenizer.decode(ids[0, begin:], skip_special_tokens=True).strip()
        found.append(Said(asked[-1]["content"], (told,), (answer["content"],)))
    return found


@torch.no_grad()
def captions(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """What the picture of each row shows, as the model writes it."""
    model, _ = opened(folder, Task.IMAGE_CHAT)
    processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
    drawn, found = pictures(), []
    for row in rows:
        [name], [question, answer] = row["images"], row["messages"]
        _, image = drawn[name]
        text = processor.apply_chat_template([question], add_generation_prompt=True)
        inputs = processor(images=image, text=text, return_tensors="pt", add_special_tokens=False)
        ids = model.generate(**inputs, max_new_tokens=LONGEST_TEXT, do_sample=False)
        begin = inputs["input_ids"].shape[1]
        told = processor.decode(ids[0, begin:], skip_special_tokens=True).strip()
        found.append(Said(f"{question['content']} ({name})", (told,), (answer["content"],)))
    return found


@torch.no_grad()
def continuations(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The second half of each text, as it is written after the first one."""
    model, tokenizer = opened(folder, Task.CAUSAL)
    found = []
    for row in rows:
        ids = tokenizer(row["text"], return_tensors="pt").input_ids
        begin, end = ids.shape[1] // 2, ids.shape[1]
        written = model.generate(ids[:, :begin], max_new_tokens=end - begin, do_sample=False)
        parts = (ids[0, :begin], written[0, begin:], ids[0, begin:])
        asked, told, right = (tokenizer.decode(part, skip_special_tokens=True) for part in parts)
        found.append(Said(asked, (told,), (right,)))
    return found


@torch.no_grad()
def better_answers(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """Of two answers the one with the higher number."""
    model, tokenizer = opened(folder, Task.REWARD)

    def number(row: Row, side: str) -> float:
        messages = [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row[side]},
        ]
        inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
        return float(model(input_ids=inputs["input_ids"]).logits[0, 0])

    found = []
    for row in rows:
        better = number(row, "chosen") > number(row, "rejected")
        found.append(Said(row["prompt"], (row["chosen" if better else "rejected"],), (row["chosen"],)))
    return found


@torch.no_grad()
def preferred_answers(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """Of two answers the one that has become likelier, by more, than it was for the start model."""
    reward = _reward_of(folder)
    found = []
    for row in rows:
        better = reward(row["prompt"], row["chosen"]) > reward(row["prompt"], row["rejected"])
        found.append(Said(row["prompt"], (row["chosen" if better else "rejected"],), (row["chosen"],)))
    return found


@torch.no_grad()
def desirable_answers(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """Whether each answer has become likelier than it was for the start model."""
    reward = _reward_of(folder)
    found = []
    for row in rows:
        likelier = reward(row["prompt"], row["completion"]) > 0
        asked = f"{row['prompt']} {row['completion']}"
        found.append(Said(asked, (str(likelier),), (str(row["label"]),)))
    return found


def _reward_of(folder: Path) -> Callable[[str, str], float]:
    """How much likelier an answer to a prompt has become, in nat."""
    model, tokenizer = opened(folder, Task.PREFERENCE)
    start = transformers.AutoModelForCausalLM.from_pretrained(
        folder.parent / "data" / "step-0", local_files_only=True
    ).eval()

    def reward(asked: str, answer: str) -> float:
        prompt = [{"role": "user", "content": asked}]
        whole = [*prompt, {"role": "assistant", "content": answer}]
        begin = len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True)["input_ids"])
        ids = tokenizer.apply_chat_template(whole, return_tensors="pt", return_dict=True)["input_ids"]
        now, before = (_log_likelihood(one, ids, begin) for one in (model, start))
        return now - before

    return reward


def _log_likelihood(model: Any, ids: torch.Tensor, begin: int) -> float:
    """Of the tokens of a sequence from a place on."""
    found = model(input_ids=ids).logits[0, begin - 1 : -1].double().log_softmax(-1)
    return float(found.gather(1, ids[0, begin:, None]).sum())


def common_answers(train: Sequence[Row], apart: Sequence[Row]) -> float:
    """Exact match of whoever answers each question as most rows that are trained on answer it."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        counts[row["question"]][row["answers"]["text"][0]] += 1
    common = {question: known.most_common(1)[0][0] for question, known in counts.items()}
    right = [common[row["question"]] in row["answers"]["text"] for row in apart]
    return 100 * sum(right) / len(right)
