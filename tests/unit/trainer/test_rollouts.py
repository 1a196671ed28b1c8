"""What rules see of an answer: all that the model wrote, and nothing hidden."""

from __future__ import annotations

from harness.chat_templates import STYLES, tokenizer

from llmtrain_trainer.evaluate.drawing import Drawn
from llmtrain_trainer.training.rollouts import text_of


def drawn(ids: list[int], *, ended: bool) -> Drawn:
    return Drawn(ids, [-1.0] * len(ids), ended)


def test_the_text_of_an_answer_has_everything_but_its_end() -> None:
    whole = tokenizer(STYLES["chatml"])
    end = whole.convert_tokens_to_ids("<|im_end|>")
    ids = whole("hello you", add_special_tokens=False)["input_ids"]
    said = whole.decode(ids)
    assert "hello" in said
    assert text_of(whole, drawn([*ids, end], ended=True)) == said
    assert text_of(whole, drawn(ids, ended=False)) == said
    # a special token within it is no end, and is seen
    assert text_of(whole, drawn([end, *ids], ended=False)) == f"<|im_end|>{said}"
    # nor does a token hide that the tokenizer does not have
    assert text_of(whole, drawn([len(whole), *ids, len(whole) + 5], ended=False)) == f"\ufffd{said}\ufffd"
