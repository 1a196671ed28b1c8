"""``llmtrain``, ``kubectl llmtrain`` and ``python -m llmtrain``."""

from __future__ import annotations

import sys

from llmtrain.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
