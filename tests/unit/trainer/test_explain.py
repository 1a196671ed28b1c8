"""Explanations of tiny models against captum and plain loops, and a page in which no text does anything."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from harness.trainer.explained import MODELS, SMALL, TEXT, explained, made, words

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.explain.attribution import contributions, rollout
from llmtrain_trainer.explain.explanation import JSON, PAGE, Compared, explain, write
from llmtrain_trainer.explain.kinds import Kind, explainable, kind_of
from llmtrain_trainer.explain.nearest import Document, draw, embedded, embedding, nearest
from llmtrain_trainer.explain.page import page
from llmtrain_trainer.explain.sample import Sample, of_text
from llmtrain_trainer.explain.told import tell

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what matplotlib says at import
    from captum.attr import InputXGradient


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "GPT2LMHeadModel", "BertForSequenceClassification"])
def test_contributions_are_captums(name: str, words: Any) -> None:
    model = made(name, words).double()
    sample = of_text(kind_of(model), words, TEXT, "text", 256)
    ids = sample.tokens(model.device)

    def said(given: torch.Tensor) -> torch.Tensor:
        logits = model(inputs_embeds=given).logits
        if kind_of(model) is Kind.CLASS:
            return logits.max(-1).values
        return logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).sum((1, 2))

    given = model.get_input_embeddings()(ids).detach().requires_grad_(True)
    with explainable(model) as itself:  # norms are computed in fp32, so that other attention is other noise
        theirs = InputXGradient(said).attribute(given).sum(-1)[0].detach()
        ours = tell(itself, kind_of(model), words, sample).attributions
    assert ours == pytest.approx(theirs.tolist(), rel=1e-6, abs=1e-12)
    assert float(theirs.abs().max()) > 1e-5


def test_a_contribution_of_a_linear_function_is_its_term() -> None:
    weights = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    given = torch.tensor([[[1.0, 2.0], [4.0, 1.0]]])
    assert contributions(lambda x: (x[0] * weights).sum(), given).tolist() == [[0.0, 5.0]]


def test_rollout_is_a_plain_loop_over_layers(words: Any) -> None:
    model = made("BertForSequenceClassification", words)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found = model(**words(TEXT, return_tensors="pt"), output_attentions=True).attentions
    layers = [one[0].double().numpy() for one in found]
    size = layers[0].shape[-1]
    passed = np.eye(size)
    for layer in layers:
        mixed = np.zeros((size, size))
        for to in range(size):
            for by in range(size):
                mean = sum(head[to, by] for head in layer) / len(layer)
                mixed[to, by] = 0.5 * mean + (0.5 if to == by else 0.0)
            mixed[to] /= mixed[to].sum()
        passed = mixed @ passed
    assert rollout([one[0].double() for one in found]).numpy() == pytest.approx(passed, abs=1e-12)
    told = explained("BertForSequenceClassification", words)["texts"][0]
    assert [token["rollout"] for token in told["tokens"]] == pytest.approx(passed[0].tolist(), abs=1e-5)
    assert told["rolloutTo"] == "the first token"


@pytest.mark.parametrize("name", list(MODELS))
def test_every_kind_of_model_is_explained_and_the_same_each_time(
    name: str, words: Any, tmp_path: Path
) -> None:
    documents = draw([Document(f"a.jsonl line {at}", f"Hello {at} " * at) for at in range(1, 12)], 5)
    for number in "ab":
        found = explained(name, words, compared=Compared(documents, 11))
        (tmp_path / number).mkdir()
        write(found, tmp_path / number)
    for file in (JSON, PAGE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    told = found["texts"][0]
    assert (found["kind"], found["notes"]) == (MODELS[name][2], [])
    assert found["documents"] == {"compared": 5, "passed": 11, "of": 11}
    assert [near["cosine"] for near in told["nearest"]] == sorted(
        (near["cosine"] for near in told["nearest"]), reverse=True
    )
    assert sum(token["rollout"] for token in told["tokens"]) == pytest.approx(1, abs=1e-4)
    assert any(token["attribution"] for token in told["tokens"])
    assert "".join(token["text"] for token in told["tokens"]) == TEXT


def test_losses_of_the_next_token_are_the_models_own(words: Any) -> None:
    model, told = made("LlamaForCausalLM", words), explained("LlamaForCausalLM", words)["texts"][0]
    ids = torch.tensor([[token["id"] for token in told["tokens"]]])
    with torch.no_grad():
        assert told["loss"] == pytest.approx(float(model(ids, labels=ids).loss), rel=1e-5)
    assert told["tokens"][0]["loss"] is None
    assert all(token["loss"] > 0 for token in told["tokens"][1:])


def test_hidden_tokens_are_asked_one_by_one(words: Any) -> None:
    model, told = made("BertForMaskedLM", words), explained("BertForMaskedLM", words)["texts"][0]
    ids = [token["id"] for token in told["tokens"]]
    assert len(ids) > 8, "more than one pass"
    for at, token in enumerate(told["tokens"]):
        copy = torch.tensor([ids])
        copy[0, at] = words.mask_token_id
        with torch.no_grad():
            loss = -model(copy).logits[0, at].log_softmax(-1)[ids[at]]
        assert token["loss"] == pytest.approx(float(loss), rel=1e-4)


def test_a_hidden_token_adds_to_the_others_alone(words: Any) -> None:
    model = made("BertForMaskedLM", words).double()
    sample = of_text(Kind.HIDDEN, words, TEXT, "text", 256)
    ids, expected = sample.ids, torch.zeros(len(sample.ids), dtype=torch.float64)
    with explainable(model) as itself:
        for at, one in enumerate(ids):
            copy = torch.tensor([ids])
            copy[0, at] = words.mask_token_id
            given = itself.get_input_embeddings()(copy).detach().requires_grad_(True)

            def said(x: torch.Tensor, at: int = at, one: int = one) -> torch.Tensor:
                return itself(inputs_embeds=x).logits[:, at].log_softmax(-1)[:, one]

            parts = InputXGradient(said).attribute(given).sum(-1)[0].detach()
            parts[at] = 0
            expected += parts
        ours = tell(itself, Kind.HIDDEN, words, sample).attributions
    assert ours == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-12)


def test_what_is_written_is_what_the_model_writes(words: Any) -> None:
    model, told = made("T5ForConditionalGeneration", words), explained("T5ForConditionalGeneration", words)
    ids = words(TEXT, return_tensors="pt")["input_ids"]
    expected = model.generate(ids, max_new_tokens=32, do_sample=False)[0, 1:].tolist()
    written = told["texts"][0]["written"]
    assert [token["id"] for token in written] == expected
    with torch.no_grad():
        loss = float(model(input_ids=ids, labels=torch.tensor([expected])).loss)
    assert told["texts"][0]["loss"] == pytest.approx(loss, rel=1e-4)


def test_a_model_is_left_as_it_was(words: Any) -> None:
    model = made("LlamaForCausalLM", words)
    model.lm_head.weight.requires_grad_(False)
    before = model.config._attn_implementation, model.config.use_cache
    with explainable(model) as itself:
        assert (itself.config._attn_implementation, itself.config.use_cache) == ("eager", False)
        assert not any(one.requires_grad for one in itself.parameters())
    assert (model.config._attn_implementation, model.config.use_cache) == before
    assert [name for name, one in model.named_parameters() if not one.requires_grad] == ["lm_head.weight"]


def test_what_is_cut_off_is_said(words: Any) -> None:
    model = made("BertForMaskedLM", words)
    sample = of_text(Kind.HIDDEN, words, TEXT * 9, "--text 1", 16)
    whole = len(words(TEXT * 9)["input_ids"])
    assert (len(sample.ids), sample.left_out) == (16, whole - 16)
    found = explain(model, words, [sample], Compared())
    assert found["texts"][0]["leftOut"] == whole - 16
    (strip,) = [line for line in page(found).splitlines() if "cut off" in line]
    assert f"{whole - 16} more were cut off and not looked at" in strip


def test_a_text_without_a_next_token_is_refused(words: Any) -> None:
    with pytest.raises(ConfigError, match="--text 1 has 1 tokens, and at least 2 are needed; use a longer"):
        of_text(Kind.NEXT, words, "H", "--text 1", 256)


def test_when_there_is_no_time_the_rest_is_left_out_and_told(words: Any) -> None:
    model = made("LlamaForCausalLM", words)
    samples = [of_text(Kind.NEXT, words, TEXT, f"text {at}", 256) for at in range(3)]
    answers = iter([True, True, False, True, False])
    documents = draw([Document(f"line {at}", TEXT) for at in range(4)], 4)
    found = explain(model, words, samples, Compared(documents, 4), lambda: next(answers))
    assert len(found["texts"]) == 2
    assert found["documents"]["compared"] == 1
    assert found["notes"] == [
        "1 of 3 texts were left out for want of time",
        "3 of 4 documents were left out: no time, or no token",
    ]


def test_the_nearest_document_is_the_text_itself(words: Any) -> None:
    model = made("LlamaForCausalLM", words)
    documents = [Document(f"line {at}", text) for at, text in enumerate(["0123", TEXT, "system user"])]
    with explainable(model) as itself:
        pairs = embedded(itself, words, documents, lambda: True)
        found = nearest(embedding(itself, words(TEXT)["input_ids"]), pairs, 2)
        states = itself.model(torch.tensor([words("0123")["input_ids"]])).last_hidden_state[0].mean(0)
    assert (found[0][0], found[0][1]) == (documents[1], pytest.approx(1))
    assert found[1][1] < 1
    assert pairs[0][1].tolist() == pytest.approx((states / states.norm()).tolist(), abs=1e-5)


def test_documents_are_drawn_of_all_alike_and_no_further_than_the_limit() -> None:
    documents = [Document(str(at), "x" * 10) for at in range(40)]
    taken: list[int] = []

    def stream() -> Iterator[Document]:
        for at, document in enumerate(documents):
            taken.append(at)
            yield document

    drawn = draw(stream(), 5, limit=100)
    assert (drawn.passed, drawn.whole, len(drawn.documents)) == (10, False, 5)
    assert len(taken) == 11
    assert drawn == draw(documents, 5, limit=100)
    assert draw(documents[:3], 5).documents == documents[:3]
    whole = draw(documents, 20)
    assert (whole.passed, whole.whole) == (40, True)
    places = [int(one.where) for one in whole.documents]
    assert places == sorted(set(places))
    assert len(places) == 20
    late = sum(place >= 20 for place in places)
    assert 5 <= late <= 15, "of the later half as many as of the first, but for luck"


def test_a_model_without_attentions_is_explained_without_rollout(words: Any) -> None:
    model = made("LlamaForCausalLM", words)
    sample = of_text(Kind.NEXT, words, TEXT, "text", 256)
    model.config.num_hidden_layers = 3  # one more than attends, as where a layer is a state space
    found = explain(model, words, [sample], Compared())
    assert found["texts"][0]["rolloutTo"] is None
    assert found["notes"] == [
        "attention rollout was left out: the model gives no attentions, or they have no room"
    ]
    assert "Attention rollout" not in page(found)


def test_numbers_that_are_none_are_left_empty(words: Any) -> None:
    model = made("LlamaForCausalLM", words)
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    sample = Sample("text", words(TEXT)["input_ids"])
    found = explain(model, words, [sample], Compared())
    assert found["texts"][0]["loss"] is None
    assert json.dumps(found, allow_nan=False)
    assert page(found)


def test_what_nobody_knows_is_refused(words: Any) -> None:
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **SMALL))
    with pytest.raises(ConfigError, match="nobody knows here what a BertModel says"):
        kind_of(model)


__all__ = ["words"]
