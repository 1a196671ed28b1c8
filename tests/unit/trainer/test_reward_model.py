"""What a reward model gives answers, and which folders are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from harness.trainer.reward_models import write_both, write_reward_model
from harness.trainer.tiny_models import tokenizer, write_llama

from llmtrain_trainer.data.chat.template import CHATML, Template
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.training.reward_model import RewardModel

ASKED = {"role": "user", "content": "how are you"}
ANSWERS = ("Fine, thanks.", "0123 456 789 world", "Hello")


@torch.no_grad()
def test_answers_get_what_plain_transformers_give_each_alone(tmp_path: Path) -> None:
    policy, folder = write_both(tmp_path)
    words = transformers.AutoTokenizer.from_pretrained(policy)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    prompt = words.apply_chat_template([ASKED], add_generation_prompt=True)["input_ids"]
    given, right = [], []
    for answer in ANSWERS:
        given.append([*prompt, *words(answer)["input_ids"], *Template(words).ending])
        whole = words.apply_chat_template([ASKED, {"role": "assistant", "content": answer}])["input_ids"]
        assert given[-1] == whole  # as a reward model has learnt to read them
        right.append(float(model(torch.tensor([whole])).logits[0, 0]))
    found = RewardModel(folder, words, 200, torch.float32, "it").numbers(given)
    assert found == pytest.approx(right, abs=1e-5)
    assert max(found) - min(found) > 0.1


def of_a_language_model(folder: Path) -> Path:
    return write_llama(folder, template=CHATML)


OTHER = CHATML.replace("<|im_end|>\n", "<|im_end|>")
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no folder": (lambda folder: folder, "it cannot be opened: .*"),
    "no head": (of_a_language_model, "it has no weights of score.weight: it is no reward model"),
    "classes": (lambda folder: write_reward_model(folder, labels=3), "gives an answer no single number"),
    "another template": (
        lambda folder: write_reward_model(folder, OTHER),
        "its chat template is not that of the model in training",
    ),
    "too short": (
        lambda folder: write_reward_model(folder, positions=64),
        "it reads 64 tokens at most, and a prompt with its answer may have 65",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_reward_model_of_these_answers_is_told(name: str, tmp_path: Path) -> None:
    made, said = BAD[name]
    with pytest.raises(ConfigError, match=said) as told:
        RewardModel(made(tmp_path / "model"), tokenizer(CHATML), 65, torch.float32, "it")
    assert told.value.hint
