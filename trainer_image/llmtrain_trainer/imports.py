"""Imports of thousands of modules, at two thirds of the CPU time. Imports nothing heavy itself."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import inside ``with`` without the garbage collector.

    What is imported stays, but each of a million new objects brings the next collection nearer, which looks
    at all of them again: more than a quarter of the start of a rank. Afterwards they are frozen, so that no
    collection during training looks at them either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def import_muon_uncompiled() -> None:
    """Import DeepSpeed's Muon with its functions as they are.

    DeepSpeed imports it to ask whether our optimizer, AdamW, is one. Its functions ask for torch.compile as
    they are defined, which loads torch's inductor for code that never runs here.
    """
    from deepspeed.runtime import compiler

    kept = compiler.compile
    compiler.compile = lambda: _as_it_is
    try:
        import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    finally:
        compiler.compile = kept


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
