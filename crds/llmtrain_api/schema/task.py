"""``spec.task``: what a model learns."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What is learnt: of plain text, of dialogues, or of samples that have their answers with them."""

    CAUSAL = "causal"
    CHAT = "chat"
    MASKED = "masked"
    SEQ2SEQ = "seq2seq"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    TEXT2TEXT = "text2text"
    TOKENS = "tokenClassification"

    @property
    def learners(self) -> tuple[Task, ...]:
        """The usual tasks of the architectures that can learn this one."""
        return _LEARNERS.get(self, (self,))

    @property
    def columns(self) -> dict[str, str]:
        """Of a task on samples: the columns of its rows, by what they hold; each is a field of
        ``dataset.fields``."""
        return _COLUMNS.get(self, {})

    @property
    def on_samples(self) -> bool:
        """Whether each row of its data is a sample with what is to be learnt of it."""
        return self in _COLUMNS

    @property
    def headed(self) -> bool:
        """Whether it trains a head that a language model does not have."""
        return self in (Task.CLASSIFICATION, Task.REGRESSION, Task.TOKENS)


_LEARNERS = {
    Task.CHAT: (Task.CAUSAL,),
    Task.CLASSIFICATION: (Task.CAUSAL, Task.MASKED),
    Task.REGRESSION: (Task.CAUSAL, Task.MASKED),
    Task.TEXT2TEXT: (Task.SEQ2SEQ,),
    Task.TOKENS: (Task.MASKED,),
}
_LABELLED = {"text": "text", "textPair": "text_pair", "label": "label"}
_COLUMNS = {
    Task.CLASSIFICATION: _LABELLED,
    Task.REGRESSION: _LABELLED,
    Task.TEXT2TEXT: {"source": "source", "target": "target"},
    Task.TOKENS: {"tokens": "tokens", "tags": "tags"},
}
