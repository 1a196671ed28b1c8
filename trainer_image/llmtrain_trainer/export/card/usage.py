"""How an export is used: a program of a few lines for each task, in the words of plain libraries."""

from __future__ import annotations

import json
from collections.abc import Mapping

from llmtrain_api import Task
from llmtrain_api.families import FAMILIES
from llmtrain_api.schema.source import PYTHON_STDLIB

from ...models.build import HEADS
from ...special_tokens import HIDDEN, T5_HIDDEN
from ..adapter import FOLDER
from .facts import Facts

PLACE = "export"
"""What a snippet calls the folder; whoever has it elsewhere writes another name there."""
NEW_TOKENS = 64

_WRITE = """\
ids = tokenizer({prompt}, return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens={tokens})[0], skip_special_tokens=True))
"""
_TALK = """\
messages = [{{"role": "user", "content": "Hello"}}]
asked = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
written = model.generate(asked["input_ids"], max_new_tokens={tokens})
print(tokenizer.decode(written[0, asked["input_ids"].shape[1]:], skip_special_tokens=True))
"""
_FILL = """\
inputs = tokenizer(f"The {{tokenizer.mask_token}} is here.", return_tensors="pt")
asked = inputs.input_ids == tokenizer.mask_token_id
print(tokenizer.decode(model(**inputs).logits[asked].argmax(-1)))
"""
_CLASS = """\
inputs = tokenizer("A text.", return_tensors="pt")  # of pairs: tokenizer("A text.", "Another.", ...)
print(model.config.id2label[model(**inputs).logits[0].argmax().item()])
"""
_NUMBER = """\
inputs = tokenizer("A text.", return_tensors="pt")  # of pairs: tokenizer("A text.", "Another.", ...)
print(model(**inputs).logits[0, 0].item())
"""
_REWARD = """\
for answer in ("Hello! How can I help?", "No."):
    messages = [{{"role": "user", "content": "Hello"}}, {{"role": "assistant", "content": answer}}]
    inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
    print(answer, model(input_ids=inputs["input_ids"]).logits[0, 0].item())  # higher is better
"""
_TAGS = """\
words = ["A", "text", "."]
inputs = tokenizer(words, is_split_into_words=True, return_tensors="pt")
tags, at = model(**inputs).logits[0].argmax(-1).tolist(), inputs.word_ids()
for number, word in enumerate(words):
    print(word, model.config.id2label[tags[at.index(number)]])  # a word's first token tells its tag
"""
_ANSWER = """\
question, context = "Where is it?", "It is in the house."
inputs = tokenizer(
    question, context, truncation="only_second", return_offsets_mapping=True, return_tensors="pt"
)
offsets = inputs.pop("offset_mapping")[0].tolist()
found = model(**inputs)
own = [at for at, text in enumerate(inputs.sequence_ids(0)) if text == 1]
likely = {{
    (first, last): (found.start_logits[0, first] + found.end_logits[0, last]).item()
    for first in own
    for last in own
    if first <= last < first + 30
}}
first, last = max(likely, key=likely.get)
print(context[offsets[first][0] : offsets[last][1]].strip())
"""
_SEE = """\
from PIL import Image
from transformers import AutoProcessor

processor = AutoProcessor.from_pretrained(place)
messages = [{{"role": "user", "content": [{{"type": "image"}}, {{"type": "text", "text": "What is it?"}}]}}]
text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
image = Image.new("RGB", (64, 64), "white")  # or Image.open("picture.png")
asked = processor(images=image, text=text, return_tensors="pt", add_special_tokens=False)
written = model.generate(**asked, max_new_tokens={tokens})
print(tokenizer.decode(written[0, asked["input_ids"].shape[1]:], skip_special_tokens=True))
"""
PROGRAMS: Mapping[Task, str] = {
    Task.CAUSAL: _WRITE,
    Task.CHAT: _TALK,
    Task.IMAGE_CHAT: _SEE,
    Task.PREFERENCE: _TALK,
    Task.REINFORCEMENT: _TALK,
    Task.REWARD: _REWARD,
    Task.MASKED: _FILL,
    Task.SEQ2SEQ: _WRITE,
    Task.TEXT2TEXT: _WRITE,
    Task.CLASSIFICATION: _CLASS,
    Task.REGRESSION: _NUMBER,
    Task.TOKENS: _TAGS,
    Task.QUESTIONS: _ANSWER,
}
"""What is done with the opened model, by the task that it learnt."""


def snippet(facts: Facts) -> str:
    """The program of an export."""
    opener = HEADS[facts.task].__name__
    tokens = max(1, min(NEW_TOKENS, facts.job.shape.positions // 2))
    use = PROGRAMS[facts.task].format(prompt=json.dumps(_prompt(facts)), tokens=tokens)
    return f"{_opened(facts, opener)}\n{use}"


def _opened(facts: Facts, opener: str) -> str:
    imports = f"from transformers import {opener}, AutoTokenizer\n"
    place = f'place = "{PLACE}"  # this folder, or the repository that it was pushed to\n'
    tokenizer = "tokenizer = AutoTokenizer.from_pretrained(place)\n"
    if not facts.adapter_alone:
        return f"{imports}\n{place}{tokenizer}model = {opener}.from_pretrained(place)\n"
    return (
        f"from peft import PeftModel\n{imports}\n{place}{_base(facts, opener)}{tokenizer}"
        f'model = PeftModel.from_pretrained(base, place, subfolder="{FOLDER}")\n'
    )


def _base(facts: Facts, opener: str) -> str:
    model, found = facts.job.spec.model, facts.job.model
    if "://" not in model.name:
        revision = found.revision if found and found.revision else model.revision
        pinned = f", revision={json.dumps(revision)}" if revision else ""
        return f"base = {opener}.from_pretrained({json.dumps(model.name)}{pinned})\n"
    return f'base = {opener}.from_pretrained("base")  # the model that the adapter was trained beside\n'


def _prompt(facts: Facts) -> str:
    if facts.task is Task.SEQ2SEQ:
        if FAMILIES[facts.job.shape.architecture].infills:
            return "The <mask> is here."
        hidden = T5_HIDDEN if facts.job.spec.model.builtin is None else HIDDEN
        return f"The {hidden[0]} is here."
    if facts.task is Task.TEXT2TEXT:
        return "A text."
    code = PYTHON_STDLIB in (source.name for source in facts.job.spec.dataset.sources)
    return "def " if code else "The "
