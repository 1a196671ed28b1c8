"""Real pretrained models, where `make models` has put them into the cache; else skipped."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from harness.models.real import MINILM, SMOLLM2

from llmtrain_api import Task
from llmtrain_trainer.models.headers import LocalFiles
from llmtrain_trainer.pretrained.inspect import look_at

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    import transformers

    from llmtrain_trainer.data.base_tokenizer import cut_at_lines, open_tokenizer
    from llmtrain_trainer.data.tokenizer import LINE_ENDS, lines
    from llmtrain_trainer.models.start import configuration_of, shapes_of, start_weights
    from llmtrain_trainer.models.weights import require_whole

ENGLISH = (
    "The committee met on Tuesday afternoon to discuss the repair of the old bridge. Most of its members had "
    "walked across it as children, and nobody wanted to see it closed for a whole summer. After a long talk "
    "they agreed that the work should begin in October, when the tourists have gone and the river is still "
    "low enough for the machines. The mayor promised that the small shops on the other side would get some "
    "help from the town, because they live from the people who cross the bridge on foot."
)
QUESTIONS = {
    "What is the capital of France?": "Paris",
    "How many days are in a week?": "7",
    "What color is the sky on a clear day?": "blue",
}


def test_the_converted_chat_model_writes_sense() -> None:
    """Or the conversion is wrong: unless the rotary order is undone, text is rubbish."""
    folder = SMOLLM2.required()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = tokenizer(ENGLISH, return_tensors="pt").input_ids
    with torch.no_grad():
        assert float(model(ids, labels=ids).loss.exp()) < 40
    for question, answer in QUESTIONS.items():
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        out = model.generate(**asked, max_new_tokens=20, do_sample=False)
        assert answer in tokenizer.decode(out[0][asked["input_ids"].shape[1] :])


def test_the_chat_model_is_known_and_whole() -> None:
    folder = SMOLLM2.required()
    facts = look_at(LocalFiles(folder, "smollm2"), pretrained=True)
    assert (facts.shape.architecture, facts.shape.parameters) == ("LlamaForCausalLM", 134_515_008)
    assert facts.tokenizer is not None
    assert (facts.tokenizer.vocabulary, facts.tokenizer.chat_template) == (49_152, True)
    require_whole(start_weights(folder, Task.CAUSAL, 0), shapes_of(configuration_of(folder), Task.CAUSAL))


def test_a_real_bert_without_a_head_gets_a_new_one_and_keeps_its_mask() -> None:
    folder = MINILM.required()
    facts = look_at(LocalFiles(folder, "minilm"), pretrained=True)
    assert facts.shape.architecture == "BertForMaskedLM"
    weights = start_weights(folder, Task.MASKED, 0)
    assert sorted(weights.fresh) == [
        "cls.predictions.bias",
        "cls.predictions.transform.LayerNorm.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.dense.weight",
    ]
    require_whole(weights, shapes_of(configuration_of(folder), Task.MASKED))
    _, tokens = open_tokenizer(folder, "minilm")
    assert (tokens.mask, tokens.eos, tokens.before) == (103, 102, (101,))


@pytest.mark.parametrize("model", [SMOLLM2, MINILM], ids=lambda model: model.name)
def test_a_long_text_in_parts_has_the_tokens_of_the_whole(model: object) -> None:
    folder: Path = model.required()  # type: ignore[attr-defined]
    tokenizer, _ = open_tokenizer(folder, "the model")
    cut = cut_at_lines(tokenizer)
    assert cut != "whole"
    text = Path(transformers.__file__).read_text() + "\n\n  x.\n\n\ny" * 50
    whole = tokenizer.encode(text, add_special_tokens=False).ids
    parts = [
        tokenizer.encode(part, add_special_tokens=False).ids for part in lines(text, LINE_ENDS[cut], 2000)
    ]
    assert len(parts) > 4
    assert [token for part in parts for token in part] == whole
