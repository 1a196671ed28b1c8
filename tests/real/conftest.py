"""The namespace of `e2e` serves here too."""

from __future__ import annotations

from e2e.conftest import namespace

__all__ = ["namespace"]
