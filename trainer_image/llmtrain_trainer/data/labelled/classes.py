"""The classes of a job's samples: found in its training data, in an order that does not depend on theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConfigError

MOST = 4096
"""Classes at most: a column with more is no class."""
FEW = 8
"""Classes that a message lists."""


@dataclass
class Classes:
    """Classes as they come, each with a number.

    Attributes:
        numbers: of each class that was seen.
        train: how often each is in the training data.
        held_out: how often each is in the held-out data.
        seen: file and line of the first sample of each.
        known: classes of a model that is only measured, which any other one is a mistake to; none of data
            that are learnt from.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    train: Counter[str] = field(default_factory=Counter)
    held_out: Counter[str] = field(default_factory=Counter)
    seen: dict[str, str] = field(default_factory=dict)
    known: Collection[str] = ()

    def number(self, name: str, where: str, *, held_out: bool) -> int:
        """The number of a sample's class.

        Raises:
            ConfigError: there are too many, or one that the model does not know.
        """
        if self.known and name not in self.known:
            few = ", ".join(map(ascii, sorted(self.known)[:FEW]))
            more = ", ..." if len(self.known) > FEW else ""
            raise ConfigError(
                f"{where}: class {name!a} is none of the {len(self.known)} that the model learns "
                f"({few}{more})",
                "correct the label, remove the row, or train on samples with it",
            )
        if name not in self.numbers:
            if len(self.numbers) >= MOST:
                raise ConfigError(
                    f"{where}: there are more than {MOST} classes",
                    "use task regression for numbers, or name another column in dataset.fields.label",
                )
            self.numbers[name] = len(self.numbers)
            self.seen[name] = where
        (self.held_out if held_out else self.train)[name] += 1
        return self.numbers[name]

    def ordered(self, known: Sequence[str] = ()) -> list[str]:
        """The classes in their order: that of a base that has just these, else as numbers or as texts.

        Args:
            known: the classes of the model that training starts from.

        Raises:
            ConfigError: fewer than two in the training data, or one that is in the held-out data alone.
        """
        missing = sorted(set(self.held_out) - set(self.train))
        if missing:
            raise ConfigError(
                f"{self.seen[missing[0]]}: class {missing[0]!a} is in the held-out data alone, so it "
                "cannot be learnt",
                "add samples with it, remove it, or correct its label",
            )
        if len(self.train) < 2:
            only = f"the one class {next(iter(self.train))!a}" if self.train else "no class"
            raise ConfigError(
                f"the training data have {only}, and at least two are needed",
                "add samples of another class, or name the right column in dataset.fields.label",
            )
        if set(known) == set(self.train):
            return list(known)
        return sorted(self.train, key=_place)

    def places(self, order: Sequence[str]) -> list[int]:
        """The place in an order of each class, by its number."""
        place = {name: at for at, name in enumerate(order)}
        return [place[name] for name in self.numbers]

    def report(self, order: Sequence[str]) -> dict[str, dict[str, int]]:
        """How often each class occurs on either side, in their order."""
        return {name: {"train": self.train[name], "heldOut": self.held_out[name]} for name in order}


def _place(name: str) -> tuple[int, int, str]:
    """Whole numbers by their value and before all texts."""
    digits = name.removeprefix("-")
    return (0, int(name), name) if digits.isdecimal() and digits.isascii() else (1, 0, name)


def known_classes(config: Mapping[str, Any]) -> list[str]:
    """The classes that a ``config.json`` names, in their order; none where it has only numbered ones."""
    named = config.get("id2label")
    if not isinstance(named, dict):
        return []
    found = [named.get(str(at)) for at in range(len(named))]
    return [name for name in found if isinstance(name, str)] if None not in found else []
