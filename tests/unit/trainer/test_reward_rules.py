"""What each rule gives an answer, and that no pattern is waited for long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llmtrain_api.schema.reinforcement import RewardSpec
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.tasks import reward_rules
from llmtrain_trainer.tasks.reward_rules import rewarded

NESTED = "[" * 100_000
GIVEN: list[tuple[dict[str, Any], str, bool]] = [
    ({"kind": "regex", "pattern": "<a>[0-9]+</a>"}, "<a>12</a>", True),
    ({"kind": "regex", "pattern": "<a>[0-9]+</a>"}, "<a>12</a> ", False),
    ({"kind": "regex", "pattern": "<a>[0-9]+</a>"}, "so: <a>12</a>", False),
    ({"kind": "regex", "pattern": "<a>.*</a>"}, "<a>1\n2</a>", True),
    ({"kind": "exact"}, " 42\n", True),
    ({"kind": "exact"}, "42.", False),
    ({"kind": "exact", "pattern": "is ([0-9]+)"}, "it is 42, not 7", True),
    ({"kind": "exact", "pattern": "is ([0-9]+)"}, "it is 7, not 42", False),
    ({"kind": "exact", "pattern": "is ([0-9]+)?"}, "it is so", False),
    ({"kind": "exact", "pattern": "[0-9]+"}, "about 42", True),
    ({"kind": "exact", "pattern": "[0-9]+"}, "none", False),
    ({"kind": "contains", "text": "because"}, "so, because", True),
    ({"kind": "contains", "text": "because"}, "Because", False),
    ({"kind": "contains"}, "it is 42.", True),
    ({"kind": "contains"}, "it is 4 2.", False),
    ({"kind": "length", "minCharacters": 2, "maxCharacters": 3}, "ab", True),
    ({"kind": "length", "minCharacters": 2, "maxCharacters": 3}, "abcd", False),
    ({"kind": "length", "minCharacters": 2}, "a", False),
    ({"kind": "length", "maxCharacters": 0}, "", True),
    ({"kind": "json"}, ' {"a": [1, 2]}\n', True),
    ({"kind": "json"}, "[1,", False),
    ({"kind": "json"}, "NaN", False),
    ({"kind": "json"}, NESTED, False),
    ({"kind": "json"}, "", False),
]


@pytest.mark.parametrize(("rule", "text", "kept"), GIVEN, ids=range(len(GIVEN)))
def test_a_rule_gives_its_weight_or_nothing(rule: dict[str, Any], text: str, kept: bool) -> None:
    found = rewarded([RewardSpec.model_validate(rule | {"weight": -1.5})], text, "42")
    assert found == [-1.5 if kept else 0]


def test_rules_are_given_in_their_order() -> None:
    rules = [RewardSpec.model_validate(rule) for rule in ({"kind": "json"}, {"kind": "exact", "weight": 3})]
    assert rewarded(rules, "42", "42") == [1, 3]
    assert rewarded(rules, "[", "42") == [0, 0]
    assert rewarded(rules, "7", None) == [1, 0]


def test_a_pattern_that_does_not_end_ends_the_job_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_rules, "MATCHING", 0.2)
    rule = RewardSpec.model_validate({"kind": "regex", "pattern": "(a+)+b", "name": "letters"})
    began = time.process_time()
    with pytest.raises(
        ConfigError, match=r"reward letters was stopped after 0\.2 s on an answer of 60"
    ) as error:
        rewarded([rule], "a" * 60, None)
    assert time.process_time() - began < 60
    assert "one way only" in str(error.value.hint)
