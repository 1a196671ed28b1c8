"""Compiling: what it needs, where it keeps its files, what is heard of it. Compiles nothing."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import filelock
import pytest
import structlog.testing
from harness.builders import job
from torch._dynamo.callback import CallbackArgs, CallbackTrigger, callback_handler

from llmtrain_trainer.data.store import Marker, fingerprints
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.launch.compiler import private_cache, require_compiler
from llmtrain_trainer.telemetry.compilation import Compilation
from llmtrain_trainer.telemetry.phases import Phase, Stopwatch


def test_an_image_without_a_compiler_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"lacks the C\+\+ compiler no-such-compiler; set compile to false"):
        require_compiler()
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr("sysconfig.get_path", lambda _name: "/nowhere")
    with pytest.raises(ConfigError, match="lacks Python's headers"):
        require_compiler()


def test_compiled_files_are_the_attempts_own_unless_told_otherwise() -> None:
    env: dict[str, str] = {}
    private_cache(env, "/scratch", 3)
    assert env == {"TORCHINDUCTOR_CACHE_DIR": "/scratch/inductor", "TORCHINDUCTOR_COMPILE_THREADS": "3"}
    mine = {"TORCHINDUCTOR_CACHE_DIR": "/mine", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    private_cache(mine, "/scratch", 3)
    assert mine["TORCHINDUCTOR_CACHE_DIR"] == "/mine"


def test_the_locks_of_the_compiler_end_with_their_process() -> None:
    """Those of torch's extensions are files: a builder that is killed stops all who come later."""
    from torch.utils._filelock import FileLock

    assert issubclass(FileLock, filelock.UnixFileLock)


def test_a_checkpoint_does_not_depend_on_it(tmp_path: Path) -> None:
    files: dict[str, dict[str, Any]] = {"train.bin": {"size": 1}, "heldout.npy": {"size": 1}}
    marker = Marker({}, "uint16", 1, 1, 0.0, 0, files, {})
    plain, compiled = (job(tmp_path, training={"compile": asked}) for asked in (False, True))
    assert fingerprints(plain, marker) == fingerprints(compiled, marker)


def test_compilations_are_counted_timed_and_told() -> None:
    now = 0.0
    watch = Stopwatch(clock=lambda: now)
    heard = Compilation(watch)
    args = CallbackArgs(CallbackTrigger.DYNAMO, "0/0")
    try:
        with structlog.testing.capture_logs() as said:
            for _ in range(2):
                with watch(Phase.FORWARD):
                    callback_handler.run_start_callbacks(args)
                    now += 5
                    callback_handler.run_end_callbacks(args)
                    now += 1
            heard.first_step_done()
            callback_handler.run_start_callbacks(args)
            callback_handler.run_end_callbacks(args)
            logging.getLogger("torch._dynamo.convert_frame").warning("torch._dynamo hit config.%s", "x")
    finally:
        callback_handler.clear()
    assert watch.lap().seconds == {Phase.OTHER: 0, Phase.FORWARD: 2, Phase.COMPILE: 10}
    assert [line["event"] for line in said] == [
        "compiling the layers; the first step may take minutes",
        "layers compiled",
        "compiled for other inputs",
        "compiled too often; this part of the layers now runs as it is",
    ]
    assert said[1]["compilations"] == 2
