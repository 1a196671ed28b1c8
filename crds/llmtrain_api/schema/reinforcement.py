"""``spec.training.reinforcement``: which rules reward an answer that the model writes, and how it learns."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .base import Rule, RuledModel
from .locations import PART, forms, matches, mistake

MAX_REWARDS = 16
CODE = ("python", "function", "code", "script", "module")
"""What people call a reward that is a program."""
NO_CODE = (
    "a reward is one of the rules regex, exact, contains, length and json, or a model, and no code: a "
    "manifest would bring programs into the ranks, which hold the credentials of the job; use rules, or "
    "entrypoint for a trainer of your own"
)


class RewardKind(StrEnum):
    """What a rule asks of an answer."""

    REGEX = "regex"
    EXACT = "exact"
    CONTAINS = "contains"
    LENGTH = "length"
    JSON = "json"
    MODEL = "model"


def _pattern(reward: RewardSpec) -> str | None:
    kind = reward.kind
    if reward.pattern is None:
        return "reward regex needs a pattern; set it" if kind is RewardKind.REGEX else None
    if kind not in (RewardKind.REGEX, RewardKind.EXACT):
        return f"pattern is for kinds regex and exact; remove it, or use regex instead of {kind}"
    return None


def _compiles(reward: RewardSpec) -> str | None:
    try:
        re.compile(reward.pattern or "")
    except (re.error, RecursionError, OverflowError) as error:
        return f"got {reward.pattern!r}, which is no regular expression of Python: {error}; correct it"
    return None


def _text(reward: RewardSpec) -> str | None:
    if reward.text is None or reward.kind is RewardKind.CONTAINS:
        return None
    return f"text is for kind contains; remove it, or use contains instead of {reward.kind}"


def _bounds(reward: RewardSpec) -> str | None:
    least, most = reward.min_characters, reward.max_characters
    if reward.kind is not RewardKind.LENGTH:
        if least is None and most is None:
            return None
        return f"minCharacters and maxCharacters are for kind length, and this is {reward.kind}; remove them"
    if least is None and most is None:
        return "reward length needs minCharacters or maxCharacters; set one of them"
    if least is not None and most is not None and least > most:
        return f"minCharacters {least} is more than maxCharacters {most}; lower minCharacters"
    return None


def _model(reward: RewardSpec) -> str | None:
    kind = reward.kind
    if reward.model is None and kind is RewardKind.MODEL:
        return "reward model needs the folder of one; set model, such as pvc://checkpoints/reward/export"
    if reward.model is not None and kind is not RewardKind.MODEL:
        return f"model is for kind model; remove it, or use model instead of {kind}"
    return None


def _weight(reward: RewardSpec) -> str | None:
    return None if reward.weight else "weight 0 rewards nothing; use another, or remove the reward"


class RewardSpec(RuledModel):
    """One rule. An answer that keeps it gets the weight, any other one 0; of a model it gets the number that
    the model gives it, times the weight."""

    kind: RewardKind = Field(
        description="regex: the whole answer matches the pattern; exact: it is the row's right answer; "
        "contains: the text, or else the right answer, stands in it; length: it has so many characters; "
        "json: it is JSON; model: a reward model gives it a number. Spaces around an answer count with regex "
        "and length alone.",
    )
    name: Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")] | None = Field(
        default=None, description="What figures call it. Default: the kind."
    )
    weight: float = Field(
        default=1.0,
        ge=-100,
        le=100,
        description="What an answer gets that keeps the rule; below 0 it is a penalty. With model: what its "
        "number is multiplied by.",
    )
    pattern: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="With regex: regular expression, as Python has it, that the whole answer must match; . "
        "is any character, a line's end too. With exact: what of the answer is compared, its first group, or "
        "all that it finds. Default with exact: the whole answer.",
    )
    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="With contains: what must stand in the answer. Default: the row's right answer.",
    )
    min_characters: int | None = Field(
        default=None, ge=0, le=10_000_000, description="With length: characters at least."
    )
    max_characters: int | None = Field(
        default=None, ge=0, le=10_000_000, description="With length: characters at most."
    )
    model: str | None = Field(
        default=None,
        max_length=512,
        description="With model: pvc://CLAIM/FOLDER or file:///FOLDER: what a job with task reward exported. "
        "It has the tokenizer and the chat template of the model in training.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.pattern) ? self.kind in ['regex', 'exact'] : self.kind != 'regex'",
            ".pattern",
            "kind regex needs a pattern, exact may have one, and others have none; set or remove it",
            _pattern,
        ),
        Rule(None, ".pattern", "must be a regular expression", _compiles),
        Rule(
            "!has(self.text) || self.kind == 'contains'",
            ".text",
            "text is for kind contains; remove it, or use contains",
            _text,
        ),
        Rule(
            "self.kind == 'length' ? ((has(self.minCharacters) || has(self.maxCharacters)) && "
            "(!has(self.minCharacters) || !has(self.maxCharacters) || "
            "self.minCharacters <= self.maxCharacters)) : "
            "(!has(self.minCharacters) && !has(self.maxCharacters))",
            ".minCharacters",
            "kind length needs minCharacters or maxCharacters, the first not above the second; others have "
            "none",
            _bounds,
        ),
        Rule(
            "has(self.model) == (self.kind == 'model')",
            ".model",
            "kind model needs model, the folder of a reward model, and others have none; set or remove it",
            _model,
        ),
        matches(
            "model",
            ".model",
            forms(PART, bucket=False),
            "use pvc://CLAIM/FOLDER or file:///FOLDER; no folder may be empty, '.' or '..'",
            optional=True,
            why=lambda uri: mistake(uri, hidden=True, bucket=False),
        ),
        Rule(
            "self.weight != 0.0",
            ".weight",
            "weight 0 rewards nothing; use another, or remove the reward",
            _weight,
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _no_code(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and (raw.get("kind") in CODE or any(name in raw for name in CODE)):
            raise PydanticCustomError("rule", "{message}", {"message": NO_CODE, "field": ""})
        return raw

    @property
    def called(self) -> str:
        """Its name in figures."""
        return self.name or str(self.kind)

    @property
    def needs_answer(self) -> bool:
        """Whether it compares with the right answer of a row."""
        return self.kind is RewardKind.EXACT or (self.kind is RewardKind.CONTAINS and self.text is None)


def _distinct(how: ReinforcementSpec) -> str | None:
    names = [reward.called for reward in how.rewards]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"two rewards are called {twice}; give each a name of its own"


def _one_model(how: ReinforcementSpec) -> str | None:
    several = sum(reward.kind is RewardKind.MODEL for reward in how.rewards) > 1
    return "two rewards are of kind model, and each rank holds one; remove all but one" if several else None


class ReinforcementSpec(RuledModel):
    """How a model learns from rewards of the answers that it writes itself: GRPO
    (https://arxiv.org/abs/2402.03300)."""

    rewards: list[RewardSpec] = Field(
        min_length=1,
        max_length=MAX_REWARDS,
        description="Rules that reward an answer; its reward is the sum of theirs.",
    )
    group_size: int = Field(
        default=8,
        ge=2,
        le=256,
        description="Answers that are written to each prompt of a step, and compared with each other.",
    )
    max_new_tokens: int = Field(
        default=64,
        ge=1,
        le=1_048_576,
        description="Tokens of an answer at most. training.sequenceLength has room for a prompt and these.",
    )
    temperature: float = Field(
        default=1.0, gt=0, le=10, description="Of the distribution that answers are drawn from, all of it."
    )
    beta: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Weight of the divergence from the model that training starts from; above 0 each rank "
        "holds that model too.",
    )
    clip_low: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="How far below 1 the ratio of new to old probability of a token counts.",
    )
    clip_high: float = Field(
        default=0.2,
        gt=0,
        le=10,
        description="How far above 1 it counts; DAPO (https://arxiv.org/abs/2503.14476) uses 0.28.",
    )
    iterations: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Updates of the weights by the answers of a step. With 1 no ratio is ever clipped.",
    )
    scale_by_deviation: bool = Field(
        default=True,
        description="Divide what an answer has above its group's mean reward by the group's standard "
        "deviation; false as in Dr. GRPO (https://arxiv.org/abs/2503.20783).",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.rewards.all(a, self.rewards.exists_one(b, (has(b.name) ? b.name : b.kind) == "
            "(has(a.name) ? a.name : a.kind)))",
            ".rewards",
            "two rewards have the same name, which by default is the kind; give each a name of its own",
            _distinct,
        ),
        Rule(
            "self.rewards.filter(a, a.kind == 'model').size() <= 1",
            ".rewards",
            "two rewards are of kind model, and each rank holds one; remove all but one",
            _one_model,
        ),
    )

    @property
    def reward_model(self) -> str | None:
        """Where the model lies that gives answers a number; None without one."""
        return next((reward.model for reward in self.rewards if reward.model is not None), None)

    @property
    def needs_answers(self) -> bool:
        """Whether each row must have a right answer."""
        return any(reward.needs_answer for reward in self.rewards)
