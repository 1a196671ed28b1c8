"""The trainer: what runs inside a worker pod, from PID 1 to the exported model."""

__version__ = "0.1.0"
"""As pyproject.toml has it; in the image no package says it."""
