"""The loss of a chat model's answers, by plain transformers: nothing of this project computes it."""

from __future__ import annotations

import warnings
from pathlib import Path

from harness.dialogues import Row

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import transformers

torch.set_num_threads(1)  # beside other work threads only wait for each other
IGNORED = -100
BATCH = 8


def labelled(tokenizer: transformers.PreTrainedTokenizerBase, row: Row) -> tuple[list[int], list[int]]:
    """Ids of a dialogue, and the same with `IGNORED` for all but the answers, each with its end token.

    An answer is what a rendering up to it, less the line's end after its end token, has beyond a rendering
    that asks for it.
    """
    messages = row["messages"]

    def ids(count: int, *, asking: bool = False) -> list[int]:
        text = tokenizer.apply_chat_template(messages[:count], tokenize=False, add_generation_prompt=asking)
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    whole = ids(len(messages))
    labels = [IGNORED] * len(whole)
    for at, message in enumerate(messages):
        if message["role"] == "assistant":
            begin, end = len(ids(at, asking=True)), len(ids(at + 1)) - 1
            assert whole[end - 1] == tokenizer.eos_token_id
            labels[begin:end] = whole[begin:end]
    return whole, labels


def answer_loss(folder: Path, rows: list[Row]) -> float:
    """Mean loss of the answers' tokens, in nat, of the model in a folder."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).eval()
    found = sorted((labelled(tokenizer, row) for row in rows), key=lambda one: len(one[0]))
    total, count = 0.0, 0
    for first in range(0, len(found), BATCH):
        batch = found[first : first + BATCH]
        width = max(len(ids) for ids, _ in batch)
        given = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch])
        labels = torch.tensor([marks + [IGNORED] * (width - len(marks)) for _, marks in batch])
        seen = torch.arange(width) < torch.tensor([len(ids) for ids, _ in batch])[:, None]
        with torch.no_grad():
            logits = model(given, attention_mask=seen.long()).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total, count = total + float(losses), count + int((labels[:, 1:] != IGNORED).sum())
    return total / count
