"""The name that ``llmtrain`` had before it was a program of its own; scripts still call it so."""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("llmtrain", run_name="__main__", alter_sys=True)
