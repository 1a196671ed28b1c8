"""Answers that the model in training writes, what rules give them, and the passes that it learns from.

An answer follows from the weights, the prompt's key (seed, epoch, row) and its number in the group alone: no
state is kept, so a resumed attempt writes what the one before would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from llmtrain_api import JobFile, ReinforcementFigures, RewardFigure, task_of
from llmtrain_api.messages import figure

from .. import distributed
from ..data.chat.template import Template
from ..data.loader import Pass, held_out_passes
from ..data.prompts.writing import answer_of, prompt_of
from ..data.rows import Ids
from ..data.store import INITIAL, TOKENIZER, Marker
from ..distributed import Ranks
from ..errors import ConfigError
from ..evaluate.drawing import Drawn, chances, draw
from ..evaluate.heldout import evaluated, sequences_to_check
from ..loss import IGNORED
from ..models.build import DTYPES, load
from ..models.location import start_of
from ..parallel.engine import Engine
from ..storage.start_marker import Start
from ..tasks.chat import ChatLM
from ..tasks.objective import tokens
from ..tasks.reinforcement import (
    KEYS,
    OLD,
    PROMPTS,
    REFERENCE,
    RewardedLM,
    advantages_of,
    divergence,
    known,
)
from ..tasks.reward_rules import rewarded
from ..telemetry.figures import flat
from ..telemetry.phases import Phase
from ..token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED
from .held_out import Checked, HeldOutLoss
from .reward_model import RewardModel

UNKNOWN = "\ufffd"
"""What stands in the text for a token that the tokenizer does not have."""
_COUNTS = 8
"""Sums of a group beside those of each rule."""


@dataclass(frozen=True)
class Group:
    """The answers to one prompt.

    Attributes:
        prompt: its tokens.
        answers: that were written.
        rewards: [answers, rules].
    """

    prompt: list[int]
    answers: list[Drawn]
    rewards: torch.Tensor

    @property
    def totals(self) -> torch.Tensor:
        """The reward of each answer."""
        return self.rewards.sum(-1)

    def sums(self, apart: float) -> torch.Tensor:
        """What is added up over groups for `Rollouts.told`.

        Args:
            apart: sum of its tokens' divergence from the start model.
        """
        totals = self.totals
        lengths = [len(one.ids) for one in self.answers]
        ended = sum(one.ended for one in self.answers)
        same = float(totals.max() == totals.min())
        size = len(lengths)
        counts = [1.0, size, float(totals.sum()), float(totals.std()), same, sum(lengths), ended, apart]
        return torch.cat([torch.tensor(counts, dtype=torch.float64), self.rewards.sum(0)])


def text_of(tokenizer: Any, one: Drawn) -> str:
    """An answer as people read it, without the token that ends it.

    A model may have more tokens than its tokenizer, and it must not hide behind those that no text shows.
    """
    ids, known = one.ids[: len(one.ids) - one.ended], len(tokenizer)
    parts = [(there, list(part)) for there, part in groupby(ids, key=lambda token: token < known)]
    return "".join(
        str(tokenizer.decode(part, skip_special_tokens=False)) if there else UNKNOWN * len(part)
        for there, part in parts
    )


class Written(NamedTuple):
    """What became of the prompts of a step.

    Attributes:
        passes: of this rank, over its answers.
        labels: tokens of answers, of all ranks.
        figures: of all ranks.
    """

    passes: list[Pass]
    labels: int
    figures: ReinforcementFigures


class Rollouts:
    """Writes answers with the model of an engine.

    Args:
        job: whose rewards.
        start: of the attempt.
        ranks: of the gang.
        marker: of the data.
        task: makes passes of answers.
        engine: of this rank.
    """

    def __init__(
        self, job: JobFile, start: Start, ranks: Ranks, marker: Marker, task: RewardedLM, engine: Engine
    ) -> None:
        self.task, self.how, self.ranks, self.engine = task, task.how, ranks, engine
        self._job, self._answers = job, start.output.answers
        self._length, self._pad = job.spec.training.sequence_length, marker.eos
        folder = start.output.data / TOKENIZER
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._ending = Template(self._tokenizer).ending
        self._ends = frozenset({self._ending[0], marker.eos})
        self._rater = self._reward_model()
        self._start: Any = None
        if self.how.beta:
            # the weights that training starts from, whatever a checkpoint brings
            base = start_of(job, start.output.data / INITIAL)
            dtype = DTYPES[job.spec.training.precision]
            model = load(base, task_of(job.spec, job.shape), dtype)
            self._start = model.eval().requires_grad_(False).to(ranks.device)

    def of_step(self, passes: Sequence[Pass]) -> Written:
        """Answers to the prompts of a step, as the passes that the model learns from."""
        found = [self._answered(one) for one in passes]
        ready = [self._compared(one, groups) for one, groups in found]
        if self.how.iterations > 1:
            old = self.engine.evaluated([one for one, _ in ready], self.task.log_probabilities)
            ready = [(known(one, OLD, values), sums) for (one, sums), values in zip(ready, old, strict=True)]
        sums = torch.stack([sums for _, sums in ready]).sum(0)
        return Written([one for one, _ in ready], *self._agreed(sums))

    def held_out_loss(self, rows: Ids) -> HeldOutLoss:
        """What answers to held-out prompts get; their loss is minus the mean reward."""
        passes = held_out_passes(rows, self.engine.plan, self.engine.place, self.task, self.ranks.device)
        sums = [self._compared(*self._answered(one))[1] for one in passes]
        _, told = self._agreed(torch.stack(sums).sum(0))
        return HeldOutLoss(-told.reward * len(rows), len(rows), flat(told))

    def checked(self, rows: Ids) -> Checked:
        """How likely the engine finds the first answers to held-out prompts, which are written beside its
        evaluation: what is drawn from the export differs by rounding, and so this is computed again."""
        gpu = self.ranks.device.type != "cpu"
        count = sequences_to_check(self._job.shape.parameters, self._length, len(rows), gpu=gpu)
        written = self._first_answers(rows, count)
        if self.ranks.first:
            np.save(self._answers, written)
        passes = held_out_passes(written, self.engine.plan, self.engine.place, ChatLM(), self.ranks.device)
        own = sum(float(found) for found in self.engine.evaluated(passes, tokens))
        losses, labels = distributed.all_reduce_sum_float(self.ranks, own, self.engine.labels(passes))
        return Checked(count, losses / labels)

    def _first_answers(self, rows: Ids, count: int) -> Ids:
        """The first answer to each of the first held-out prompts, after its prompt, as rows of dialogues; the
        same on every rank."""
        shared = torch.zeros(count, self._length, dtype=torch.int64, device=self.ranks.device)
        place, ranks = self.engine.place.data, self.engine.layout.data
        for at in range(place, count, ranks):
            group = self._group(np.asarray(rows[at]), at)
            shared[at] = self._tokens(group)[0].to(shared)
        distributed.all_reduce_tensor(self.ranks, shared)
        return shared.cpu().numpy().astype(np.uint32)

    def _answered(self, one: Pass) -> tuple[Pass, list[Group]]:
        """Answers to the prompts of a pass, and the pass over them."""
        inputs, labels = one
        spare = (labels[:, 0] == IGNORED).tolist()
        ids, gains, groups = [], [], []
        rows, keys = inputs[PROMPTS].cpu().numpy(), inputs[KEYS].tolist()
        for row, key, empty in zip(rows, keys, spare, strict=True):
            group = self._unanswered(row) if empty else self._group(row, key % (1 << 64))
            ids.append(self._tokens(group))
            gains.append(advantages_of(group.totals, self.how))
            groups += [] if empty else [group]
        made = self.task.written(torch.stack(ids), torch.stack(gains))
        made[1][torch.tensor(spare)] = IGNORED
        where = self.ranks.device
        return ({name: value.to(where) for name, value in made[0].items()}, made[1].to(where)), groups

    def _group(self, row: Any, key: int) -> Group:
        prompt, right = prompt_of(row), answer_of(row)
        by = chances(key, self.how.group_size, self.how.max_new_tokens)
        each = partial(self.engine.watch, Phase.GENERATION)
        found = self.engine.of_model(
            lambda model: draw(model, prompt, by, self.how.temperature, self._ends, each)
        )
        each_number = zip(found, self._numbers(prompt, found), strict=True)
        rewards = [
            rewarded(self.how.rewards, text_of(self._tokenizer, one), right, number)
            for one, number in each_number
        ]
        return Group(prompt, found, torch.tensor(rewards, dtype=torch.float64))

    def _reward_model(self) -> RewardModel | None:
        if (named := self.how.reward_model) is None:
            return None
        where = f"training.reinforcement.rewards: model {named}"
        if (folder := self._job.reward_model) is None:
            raise ConfigError(f"{where}: the job file names no place for it", "use the operator's version")
        length, dtype = self._length + len(self._ending) - 1, DTYPES[self._job.spec.training.precision]
        return RewardModel(Path(folder), self._tokenizer, length, dtype, where).to(self.ranks.device)

    def _numbers(self, prompt: list[int], found: Sequence[Drawn]) -> list[float]:
        """What the reward model gives each answer, read as it has learnt to read them."""
        if self._rater is None:
            return [0.0] * len(found)
        end, *after = self._ending
        return self._rater.numbers(
            [[*prompt, *one.ids, *(after if one.ids[-1:] == [end] else [])] for one in found]
        )

    def _unanswered(self, row: Any) -> Group:
        nothing = [Drawn([], [], False)] * self.how.group_size
        return Group(prompt_of(row), nothing, torch.zeros(len(nothing), 1, dtype=torch.float64))

    def _tokens(self, group: Group) -> torch.Tensor:
        """[answers, length] tokens of each answer after its prompt, with the marks of dialogues."""
        rows = np.full((len(group.answers), self._length), self._pad | NOT_TRAINED, np.int64)
        begin = len(group.prompt)
        rows[:, :begin] = np.asarray(group.prompt) | NOT_TRAINED
        rows[:, 0] |= FIRST_OF_DOCUMENT
        for row, one in zip(rows, group.answers, strict=True):
            end = begin + len(one.ids)
            row[begin:end] = one.ids
            row[end : end + 1] |= FIRST_OF_DOCUMENT
        return torch.from_numpy(rows)

    def _compared(self, one: Pass, groups: Sequence[Group]) -> tuple[Pass, torch.Tensor]:
        """A pass with what the start model says of it, where that counts, and the sums of its groups."""
        apart = 0.0
        if self._start is not None:
            [values] = evaluated(self._start, [one], self.task.log_probabilities)
            one = known(one, REFERENCE, values)
            drawn = torch.tensor([p for g in groups for a in g.answers for p in a.logps], dtype=torch.float64)
            there = one[1][:, :, 0] != IGNORED
            apart = float(divergence(drawn, values[there].double().cpu()).sum())
        width = _COUNTS + len(self.how.rewards)
        sums = torch.zeros(width, dtype=torch.float64)
        for number, group in enumerate(groups):
            sums += group.sums(0.0 if number else apart)
        return one, sums

    def _agreed(self, own: torch.Tensor) -> tuple[int, ReinforcementFigures]:
        """Tokens of answers, and what all ranks' sums say."""
        sums = distributed.all_reduce_sum_float(self.ranks, *own.tolist())
        groups, answers, reward, deviation, same, length, ended, apart = sums[:_COUNTS]
        rules = zip(self.how.rewards, sums[_COUNTS:], strict=True)
        told = ReinforcementFigures(
            reward=reward / answers,
            rewards=[RewardFigure(name=rule.called, mean=total / answers) for rule, total in rules],
            deviation=deviation / groups,
            without_signal=same / groups,
            kl=figure(apart / length) if self._start is not None else None,
            answer_tokens=length / answers,
            ended=ended / answers,
        )
        return int(length), told
