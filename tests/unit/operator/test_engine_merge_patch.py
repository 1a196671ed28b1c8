"""The merge patch between two statuses."""

from __future__ import annotations

from typing import Any

import pytest

from llmtrain_operator.engine.merge_patch import merge_patch


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"a": 1}),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2, "e": [1]}}),
        ({"a": [1, 2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {"a": 2}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_merge_patch_turns_old_into_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    def apply(target: Any, patch: Any) -> Any:
        if not isinstance(patch, dict):
            return patch
        out = dict(target) if isinstance(target, dict) else {}
        for key, value in patch.items():
            if value is None:
                out.pop(key, None)
            else:
                out[key] = apply(out.get(key), value)
        return out

    patch = merge_patch(old, new)
    assert apply(old, patch) == new
    assert (patch == {}) == (old == new)
