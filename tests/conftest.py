"""Settings of every layer: a slow machine is no failure, so hypothesis judges no times."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("project", deadline=None)
settings.load_profile("project")
