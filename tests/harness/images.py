"""Pictures that tests show to a model, with rows that ask about them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from harness.builders import job
from llmtrain_api import JobFile

COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 180, 40),
    "blue": (30, 60, 230),
    "yellow": (240, 220, 20),
    "black": (0, 0, 0),
    "pink": (250, 120, 200),
}
SHAPES = ("square", "circle", "bar", "frame")
PLACES = ("left", "right")
QUESTION = "What is it?"


def drawn(colour: str, shape: str, place: str) -> Image.Image:
    """A coloured shape on the left or on the right of a white picture."""
    image = Image.new("RGB", (48, 48), "white")
    draw, left = ImageDraw.Draw(image), 2 if place == "left" else 24
    box, fill = (left, 12, left + 20, 32), COLOURS[colour]
    if shape == "circle":
        draw.ellipse(box, fill=fill)
    elif shape == "bar":
        draw.rectangle((left, 20, left + 20, 25), fill=fill)
    elif shape == "frame":
        draw.rectangle(box, outline=fill, width=4)
    else:
        draw.rectangle(box, fill=fill)
    return image


def captions() -> dict[str, Image.Image]:
    """48 pictures by what they show."""
    return {
        f"a {colour} {shape} on the {place}": drawn(colour, shape, place)
        for colour, shape, place in product(COLOURS, SHAPES, PLACES)
    }


def rows() -> list[dict[str, Any]]:
    """A row of each picture, which asks what it shows."""
    question = {"role": "user", "content": f"<image>{QUESTION}"}
    return [
        {"images": [name], "messages": [question, {"role": "assistant", "content": caption}]}
        for name, (caption, _) in pictures().items()
    ]


def pictures() -> dict[str, tuple[str, Image.Image]]:
    """What each picture shows, and the picture, by the name of its file."""
    return {
        f"pictures/{number}.{'jpg' if number % 4 == 3 else 'png'}": shown
        for number, shown in enumerate(captions().items())
    }


def write_pictures(folder: Path) -> None:
    """Write all pictures where rows that lie in a folder name them."""
    for name, (_, image) in pictures().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name, quality=95)


def write(folder: Path) -> Path:
    """Write pictures and a file of rows that name them; the folder."""
    write_pictures(folder)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return folder


def asked(work: Path, *, ranks: int = 1, attempt: int = 0, saves: int = 2, **training: Any) -> JobFile:
    """A job on these pictures with a tiny model.

    Args:
        work: where rows and output lie.
        ranks: processes.
        attempt: its number.
        saves: steps between checkpoints.
        training: fields of `training`.
    """
    few = {
        "maxSteps": 3,
        "learningRate": 2e-3,
        "schedule": "constant",
        "weightDecay": 0.1,
        "sequenceLength": 64,
        "globalBatchSize": 4,
        "microBatchSize": 2,
        "warmupSteps": 1,
    }
    rows = work / "rows"
    return job(
        work / "output",
        attempt=attempt,
        task="imageChat",
        model={"name": "builtin://tiny-llava", "hiddenSize": 64, "numLayers": 2, "vocabSize": 320},
        dataset={
            "name": f"file://{rows if rows.exists() else write(rows)}",
            "heldOutFraction": 0.1,
        },
        training={**few, **training},
        processesPerNode=ranks,
        checkpoint={"everySteps": saves},
        evaluation={"everySteps": 0, "maxSequences": 8},
    )
