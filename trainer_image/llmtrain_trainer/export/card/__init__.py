"""The model card: ``README.md`` of the export, for whoever finds the folder and knows nothing of the job."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import ModelCard

from llmtrain_api import JobFile, Results

from ... import log
from ...data.store import Marker
from ...storage.start_marker import Start
from .facts import gathered
from .text import card_text

FILE = "README.md"


def write_card(job: JobFile, start: Start, marker: Marker, results: Results, folder: Path) -> None:
    """Write the card into the folder of an export. A model without a card is a model: nothing fails for it.

    Args:
        job: the job.
        start: of the attempt that ends it.
        marker: of its data.
        results: of it.
        folder: of the export.
    """
    path = folder / FILE
    try:
        text = card_text(gathered(job, start, marker, results))
        ModelCard(text)  # refuses what the hub's own reader refuses
        path.write_text(text, encoding="utf-8")
    except Exception as error:
        log.get().warning("the export has no model card", error=f"{type(error).__name__}: {error}")
        _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.get().warning("half a model card is left", error=error.strerror)
