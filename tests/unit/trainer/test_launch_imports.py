"""The launcher starts in a moment: it loads nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["llmtrain_trainer.launch.launcher", "llmtrain_trainer.__main__"])
def test_the_launcher_never_imports_torch(module: str) -> None:
    code = (
        f"import sys, {module}; print([m for m in ('torch', 'numpy', 'transformers', 'deepspeed') "
        "if m in sys.modules])"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"
