"""What an answer gets: rules of the manifest, which are data and no code, applied to its text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from llmtrain_api.schema.reinforcement import RewardKind, RewardSpec

from ..cpu_limit import CpuLimit, cpu_limit
from ..errors import ConfigError

MATCHING = 2.0
"""Seconds of a processor that a pattern may take of one answer; usual ones take microseconds."""


def rewarded(rules: Sequence[RewardSpec], text: str, right: str | None, number: float = 0.0) -> list[float]:
    """What each rule gives an answer: its weight, or 0; of a model the weight times its number.

    Args:
        rules: in their order.
        text: of the answer, without the token that ends it.
        right: the right answer, where there is one.
        number: that a reward model gives it, where there is one.

    Raises:
        ConfigError: a pattern that does not end on it.
    """
    return [
        rule.weight
        * (number if rule.kind is RewardKind.MODEL else _KEEPS[rule.kind](rule, text, right or ""))
        for rule in rules
    ]


def _regex(rule: RewardSpec, text: str, _right: str) -> bool:
    return _found(rule, text, whole=True) is not None


def _exact(rule: RewardSpec, text: str, right: str) -> bool:
    if rule.pattern is None:
        return text.strip() == right
    found = _found(rule, text, whole=False)
    return found is not None and (found[1 if found.re.groups else 0] or "").strip() == right


def _contains(rule: RewardSpec, text: str, right: str) -> bool:
    return (rule.text or right) in text


def _length(rule: RewardSpec, text: str, _right: str) -> bool:
    most = len(text) if rule.max_characters is None else rule.max_characters
    return (rule.min_characters or 0) <= len(text) <= most


def _json(_rule: RewardSpec, text: str, _right: str) -> bool:
    try:
        json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False
    return True


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _found(rule: RewardSpec, text: str, *, whole: bool) -> re.Match[str] | None:
    """Where a pattern matches. One that tries for longer than anybody waits ends the job: an answer that got
    nothing for it would get something on a faster machine."""
    pattern = re.compile(rule.pattern or "", re.DOTALL)
    try:
        with cpu_limit(MATCHING):
            return pattern.fullmatch(text) if whole else pattern.search(text)
    except CpuLimit:
        raise ConfigError(
            f"the pattern of reward {rule.called} was stopped after {MATCHING:g} s on an answer of "
            f"{len(text)} characters",
            "write it so that one text can be matched in one way only, such as [^<]* instead of (.*)*",
        ) from None


_KEEPS: dict[RewardKind, Callable[[RewardSpec, str, str], bool]] = {
    RewardKind.REGEX: _regex,
    RewardKind.EXACT: _exact,
    RewardKind.CONTAINS: _contains,
    RewardKind.LENGTH: _length,
    RewardKind.JSON: _json,
}
