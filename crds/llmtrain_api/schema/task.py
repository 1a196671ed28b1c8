"""``spec.task``: what a model learns."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What is learnt: of plain text, of dialogues, also about images, of pairs of answers, of rewards for
    answers that the model writes itself, or of samples that have their answers with them."""

    CAUSAL = "causal"
    CHAT = "chat"
    IMAGE_CHAT = "imageChat"
    MASKED = "masked"
    PREFERENCE = "preference"
    REINFORCEMENT = "reinforcement"
    REWARD = "reward"
    SEQ2SEQ = "seq2seq"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    TEXT2TEXT = "text2text"
    TOKENS = "tokenClassification"
    QUESTIONS = "questionAnswering"

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
    def on_dialogues(self) -> bool:
        """Whether rows of its data are dialogues, which a chat template renders."""
        return self in (Task.CHAT, Task.IMAGE_CHAT, Task.REINFORCEMENT) or self.on_pairs

    @property
    def on_pairs(self) -> bool:
        """Whether rows of its data are pairs of answers, of which one is better."""
        return self in (Task.PREFERENCE, Task.REWARD)

    @property
    def sequences(self) -> int:
        """Sequences of a sample that a model reads as such: a pair of answers has two."""
        return 2 if self.on_pairs else 1

    @property
    def by_place(self) -> bool:
        """Whether what is learnt is told by places in the text, which must stay what they are."""
        return self in (Task.TOKENS, Task.QUESTIONS)

    @property
    def auto_class(self) -> str:
        """The class of transformers that opens what was trained for it, by its name."""
        return _AUTO_CLASSES[self]

    @property
    def headed(self) -> bool:
        """Whether it trains a head that a language model does not have."""
        return self in (Task.CLASSIFICATION, Task.REGRESSION, Task.TOKENS, Task.QUESTIONS, Task.REWARD)


_LEARNERS = {
    Task.CHAT: (Task.CAUSAL,),
    Task.PREFERENCE: (Task.CAUSAL,),
    Task.REINFORCEMENT: (Task.CAUSAL,),
    Task.REWARD: (Task.CAUSAL,),
    Task.CLASSIFICATION: (Task.CAUSAL, Task.MASKED),
    Task.REGRESSION: (Task.CAUSAL, Task.MASKED),
    Task.TEXT2TEXT: (Task.SEQ2SEQ,),
    Task.TOKENS: (Task.MASKED,),
    Task.QUESTIONS: (Task.MASKED,),
}
_LABELLED = {"text": "text", "textPair": "text_pair", "label": "label"}
_COLUMNS = {
    Task.CLASSIFICATION: _LABELLED,
    Task.REGRESSION: _LABELLED,
    Task.TEXT2TEXT: {"source": "source", "target": "target"},
    Task.TOKENS: {"tokens": "tokens", "tags": "tags"},
    Task.QUESTIONS: {"question": "question", "context": "context", "answers": "answers"},
}
_CAUSAL, _SEQ2SEQ, _SEQUENCES = (
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
)
_AUTO_CLASSES = {
    Task.CAUSAL: _CAUSAL,
    Task.CHAT: _CAUSAL,
    Task.IMAGE_CHAT: "AutoModelForImageTextToText",
    Task.MASKED: "AutoModelForMaskedLM",
    Task.PREFERENCE: _CAUSAL,
    Task.REINFORCEMENT: _CAUSAL,
    Task.REWARD: _SEQUENCES,
    Task.SEQ2SEQ: _SEQ2SEQ,
    Task.CLASSIFICATION: _SEQUENCES,
    Task.REGRESSION: _SEQUENCES,
    Task.TEXT2TEXT: _SEQ2SEQ,
    Task.TOKENS: "AutoModelForTokenClassification",
    Task.QUESTIONS: "AutoModelForQuestionAnswering",
}
