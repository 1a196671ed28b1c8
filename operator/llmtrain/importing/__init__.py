"""Jobs of Kubeflow as an LLMTrainingJob: functions of a manifest, which give another and what differs."""

from .files import Imported, imported

__all__ = ["Imported", "imported"]
