"""``llmtrain check --lr-range``: which learning rate, by a short training run of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from llmtrain.errors import Mistake

from . import output
from .options import Format

LOWEST, HIGHEST, STEPS = 1e-7, 1.0, 100

Wanted = Annotated[
    bool,
    typer.Option(
        "--lr-range",
        help="Train the job's model on its data for a few steps on this machine, while the learning rate "
        "rises, and suggest one.",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        min=1,
        max=100_000,
        help=f"Steps of the test (with --lr-range; default: {STEPS}).",
    ),
]
Lowest = Annotated[
    float | None,
    typer.Option(
        "--lowest", metavar="RATE", help=f"Rate of its first step (with --lr-range; default: {LOWEST:g})."
    ),
]
Highest = Annotated[
    float | None,
    typer.Option(
        "--highest", metavar="RATE", help=f"Rate of its last step (with --lr-range; default: {HIGHEST:g})."
    ),
]


def range_of(
    manifest: Path, runs: Path, steps: int | None, rates: tuple[float | None, float | None], form: Format
) -> int:
    """Run the test and print what it has found; the exit code."""
    from pydantic import ValidationError

    from llmtrain.render.lr_range import range_lines
    from llmtrain_api.schema.range_test import RangeTest
    from llmtrain_operator.local.range_test import NotMeasured, RangeRequest, range_test, tell_why_not

    lowest, highest = rates
    try:
        test = RangeTest(
            lowest=LOWEST if lowest is None else lowest, highest=HIGHEST if highest is None else highest
        )
    except ValidationError:
        raise Mistake("--lowest and --highest: a learning rate is above 0 and at most 10") from None
    request = RangeRequest(manifest, runs, test, STEPS if steps is None else steps)
    try:
        found = range_test(request, sys.stderr if form.for_programs else sys.stdout)
    except NotMeasured as error:
        tell_why_not(request, error)
        return error.exit_code
    if not output.data(found.to_json(), form):
        output.lines(["", *range_lines(found)])
    return 0 if found.suggested is not None else 1


def raise_unless_tested(given: dict[str, object]) -> None:
    """Refuse options of the test without the test.

    Raises:
        Mistake: with the first of them.
    """
    for name, value in given.items():
        if value is not None:
            raise Mistake(f"{name} is for --lr-range; add --lr-range, or leave {name} out")
