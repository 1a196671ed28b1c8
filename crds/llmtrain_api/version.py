"""The version of the project: of its packages, its chart and its images."""

VERSION = "0.1.0"
"""As pyproject.toml has it. Written by `make generate`."""
