"""What the verbs of ``llmtrain`` end with; beside these 75, stopped with a checkpoint."""

from __future__ import annotations

DONE, FAILED, MISTAKE = 0, 1, 2
