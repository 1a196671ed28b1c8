"""A push to a registry of container images: one image whose layers hold the export, or none."""

from __future__ import annotations

from .push import OciPush

__all__ = ["OciPush"]
