"""What of a base a new head begins with: all beside it, and its own where it means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from llmtrain_api import Task
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.models.head import Head
from llmtrain_trainer.models.start import configuration_of, empty_model, start_weights

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "bert": transformers.BertConfig(**SIZES),
    "roberta": transformers.RobertaConfig(**SIZES),
    "llama": transformers.LlamaConfig(**SIZES),
}
OWN = {"bert": "classifier.", "roberta": "classifier.", "llama": "score."}
HEAD = Head(("ham", "spam", "unsure"), pad=3)


def base(folder: Path, family: str, auto: Any, **config: Any) -> Path:
    torch.manual_seed(3)
    told = type(CONFIGS[family])(**CONFIGS[family].to_dict() | config)
    model = auto.from_config(told)
    for _, parameter in model.named_parameters():
        parameter.data.normal_()
    model.save_pretrained(folder)
    return folder


def fresh(folder: Path, head: Head = HEAD, seed: int = 0) -> set[str]:
    return set(start_weights(folder, Task.CLASSIFICATION, seed, head=head).fresh)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_language_models_head_stays_where_it_is_and_a_new_one_begins(tmp_path: Path, family: str) -> None:
    auto = transformers.AutoModelForCausalLM if family == "llama" else transformers.AutoModelForMaskedLM
    folder = base(tmp_path, family, auto)
    weights = start_weights(folder, Task.CLASSIFICATION, 0, head=HEAD)
    new = [name for name in weights.fresh if name.startswith(OWN[family])]
    assert new
    assert all("pooler" in name for name in set(weights.fresh) - set(new))
    with torch.device("meta"):
        model = empty_model(configuration_of(folder, head=HEAD), Task.CLASSIFICATION, torch.float32)
    for name, parameter in model.named_parameters():
        value = weights.read(name, tuple(parameter.shape))
        assert value.shape == parameter.shape
        if name.endswith("weight") and name in new:
            other = start_weights(folder, Task.CLASSIFICATION, 1, head=HEAD).read(
                name, tuple(parameter.shape)
            )
            assert not torch.equal(value, other)
            assert 0.01 < float(value.std()) < 0.04
    assert (model.config.num_labels, model.config.pad_token_id) == (3, 3)


def test_a_head_with_the_same_classes_goes_on_and_another_begins_anew(tmp_path: Path) -> None:
    names = {"id2label": dict(enumerate(HEAD.labels)), "label2id": {n: i for i, n in enumerate(HEAD.labels)}}
    folder = base(tmp_path, "bert", transformers.AutoModelForSequenceClassification, **names)
    assert fresh(folder) == set()
    new = {"classifier.weight", "classifier.bias"}
    assert fresh(folder, Head(("spam", "ham", "unsure"), 3)) == new
    assert fresh(folder, Head(("ham", "spam"), 3)) == new
    assert fresh(folder, Head(("LABEL_0",), 3)) == new


def test_a_base_without_its_body_is_refused(tmp_path: Path) -> None:
    folder = base(tmp_path, "bert", transformers.AutoModelForMaskedLM)
    base(tmp_path / "other", "bert", transformers.AutoModelForMaskedLM, num_hidden_layers=2)
    (folder / "config.json").write_text((tmp_path / "other" / "config.json").read_text())
    with pytest.raises(ConfigError, match=r"bert\.encoder\.layer\.1"):
        fresh(folder)


def test_a_number_has_one_output_and_says_so(tmp_path: Path) -> None:
    folder = base(tmp_path, "bert", transformers.AutoModelForMaskedLM)
    config = configuration_of(folder, head=Head(("LABEL_0",), 5))
    assert (config.num_labels, config.problem_type, config.pad_token_id) == (1, "regression", 5)
