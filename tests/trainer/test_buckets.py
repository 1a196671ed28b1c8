"""Gradients reduced in many buckets, and tensors that no bucket has room for, are those of one process.

The models of the proven layouts are smaller than a bucket, so here the bucket is made smaller than they are.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from harness.layouts.proof import Bench
from harness.layouts.rows import Row

from llmtrain_api import Layout
from llmtrain_api.estimate import memory

pytestmark = pytest.mark.timeout(600)
ROOM = 1_500
"""Numbers: some norms and small matrices, no embedding."""


def _proved(row: Row, folder: Path, patch: pytest.MonkeyPatch) -> str | None:
    patch.setattr(memory, "CPU_BUCKET", ROOM)
    assert memory.reduce_bucket(row.spec(clipping=0.0), row.shape.parameters) == ROOM
    return Bench(folder).prove(row).error


@pytest.mark.parametrize("zero", [0, 1])
def test_many_buckets_are_one_sum(zero: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("llama", Layout(data=2, zero=zero), accumulation=4)
    assert _proved(row, tmp_path, monkeypatch) is None


@pytest.mark.proof
@pytest.mark.parametrize(("zero", "precision"), list(product((1, 2, 3), ("fp32", "bf16"))))
def test_many_buckets_are_one_sum_in_each_stage(
    zero: int, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row("llama-tied", Layout(data=2, zero=zero), accumulation=4, precision=precision)
    assert _proved(row, tmp_path, monkeypatch) is None
