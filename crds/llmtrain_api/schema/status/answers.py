"""How what a finished job's model writes compares to what is held out."""

from __future__ import annotations

from pydantic import Field

from ..base import ApiModel
from .values import Count, Figure, Text

COPIED, LEAD = "copied", "lead"
"""What the names of figures begin with that need no model: the source, and its first words."""


class AnswersResult(ApiModel):
    """How answers of the exported model compare to those of held-out data, from 0 to 100, and with task
    text2text what comes of the source itself, or of its first words."""

    written: Count = Field(description="Answers that were written and compared.")
    exact_match: Figure | None = Field(default=None, description="Share of answers with the same words.")
    f1: Figure | None = Field(default=None, description="F1 of words, mean over the answers.")
    bleu: Figure | None = Field(default=None, description="BLEU of all answers.")
    chrf: Figure | None = Field(default=None, description="chrF of all answers.")
    rouge1: Figure | None = Field(default=None, description="ROUGE-1, F-measure.")
    rouge2: Figure | None = Field(default=None, description="ROUGE-2, F-measure.")
    rouge_l: Figure | None = Field(default=None, description="ROUGE-L, F-measure.")
    signatures: list[Text] = Field(
        default_factory=list, max_length=2, description="How sacrebleu computed its own, for comparisons."
    )
    copied_exact_match: Figure | None = Field(
        default=None,
        description="With task text2text: exact match of whoever writes the source as it is; likewise all "
        "that begins with copied.",
    )
    copied_f1: Figure | None = Field(default=None, description="F1 of words of whoever writes the source.")
    copied_bleu: Figure | None = Field(default=None, description="BLEU of whoever writes the source.")
    copied_chrf: Figure | None = Field(default=None, description="chrF of whoever writes the source.")
    lead_words: Count | None = Field(
        default=None,
        description="With task text2text and rouge: how many words the right texts have, their median; "
        "whoever writes the beginning of the source writes as many.",
    )
    lead_rouge1: Figure | None = Field(default=None, description="ROUGE-1 of these first words.")
    lead_rouge2: Figure | None = Field(default=None, description="ROUGE-2 of these first words.")
    lead_rouge_l: Figure | None = Field(default=None, description="ROUGE-L of these first words.")

    def said(self) -> dict[str, float]:
        """The scores of what the model wrote, by their names."""
        return {name: value for name, value in self._figures().items() if not name.startswith((COPIED, LEAD))}

    def said_by(self, baseline: str) -> dict[str, float]:
        """The scores of a baseline by the names of those that they stand beside.

        Args:
            baseline: ``COPIED`` or ``LEAD``.
        """
        found = {n.removeprefix(baseline): v for n, v in self._figures().items() if n.startswith(baseline)}
        return {name[:1].lower() + name[1:]: value for name, value in found.items() if name != "Words"}

    def _figures(self) -> dict[str, float]:
        found: dict[str, float] = self.model_dump(
            by_alias=True, exclude={"written", "signatures"}, exclude_none=True
        )
        return found
