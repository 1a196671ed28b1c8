"""The garbage collector is off only while modules are imported."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from llmtrain_trainer.imports import quick_imports


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_the_collector_is_back_after_imports() -> None:
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000


def test_the_collector_is_back_after_a_failed_import() -> None:
    with pytest.raises(ImportError), quick_imports():
        raise ImportError("no such module")
    assert gc.isenabled()
