"""The trainer: what runs inside a worker pod, from PID 1 to the exported model."""

from llmtrain_api.version import VERSION as __version__

__all__ = ["__version__"]
