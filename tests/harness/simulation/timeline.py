"""What happened, line by line, and how often each kind of thing did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

PAGE = 70
"""Lines a person reads."""


@dataclass
class Timeline:
    """The lines of one life: (virtual seconds, who, what)."""

    lines: list[tuple[float, str, str]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    reached: set[tuple[str, str]] = field(default_factory=set)

    def tell(self, now: float, who: str, what: str) -> None:
        self.lines.append((now, who, what))

    def fault(self, now: float, kind: str, phase: str, what: str) -> None:
        """Note a fault, and in which phase of the job it struck."""
        self.faults[kind] += 1
        self.reached.add((phase, kind))
        self.lines.append((now, "FAULT", f"{kind}: {what}"))

    def page(self) -> str:
        """The last page of it."""
        shown = self.lines[-PAGE:]
        left_out = len(self.lines) - len(shown)
        head = [f"... {left_out} lines before"] if left_out else []
        return "\n".join([*head, *(f"{now:9.1f} s  {who:9} {what}" for now, who, what in shown)])
