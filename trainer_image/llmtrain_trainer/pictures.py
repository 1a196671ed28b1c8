"""Images of strangers: opened within bounds, or refused with what is wrong; and how they lie beside rows.

``images.bin`` of a data folder has each image once, as it is after the model's own resizing and cropping:
[images, 3, pixels, pixels] bytes. ``images.json`` says what a model makes of them.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ConfigError
from .files import read_json, write_json
from .output import IMAGES

DESCRIBED = "images.json"
LARGEST = 32 << 20
"""Bytes of a file at most."""
MOST_PIXELS = 50_000_000
"""Pixels of an image at most: 150 MB while it is made small."""
LONGEST_SIDE = 100
"""How many times as long as the other a side may be: resized by the shorter one, it would be as large."""
FORMATS = ("PNG", "JPEG")
CONVERT = f"save it as {' or '.join(FORMATS)}, or take the row out"
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Described:
    """What a model makes of stored images.

    Attributes:
        size: pixels of an image on either side.
        tokens: that stand for an image in a row.
        token: id of each of them.
        scale: of a byte.
        mean: of each colour, after scaling.
        deviation: of each colour, after scaling.
    """

    size: int
    tokens: int
    token: int
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def write(self, folder: Path) -> None:
        """Leave it in a data folder."""
        write_json(folder / DESCRIBED, asdict(self))


@dataclass(frozen=True)
class Images:
    """The images of a data folder.

    Attributes:
        pixels: [images, 3, size, size] bytes, mapped into memory.
        described: what a model makes of them.
    """

    pixels: Numbers
    described: Described

    def inputs(self, numbers: list[int]) -> Numbers:
        """What a model reads of some images: [images, 3, size, size] in fp32."""
        how, chosen = self.described, self.pixels[numbers].astype(np.float32)
        mean, deviation = (np.asarray(one, np.float32)[:, None, None] for one in (how.mean, how.deviation))
        found: Numbers = (chosen * np.float32(how.scale) - mean) / deviation
        return found


def open_images(folder: Path) -> Images:
    """The images of a data folder.

    Raises:
        ConfigError: it has none.
    """
    raw = read_json(folder / DESCRIBED)
    if raw is None or not (folder / IMAGES).is_file():
        raise ConfigError(f"{folder} has no {DESCRIBED} with {IMAGES}", "use another output.uri")
    described = Described(**{**raw, "mean": tuple(raw["mean"]), "deviation": tuple(raw["deviation"])})
    pixels = np.memmap(folder / IMAGES, np.uint8, "r")
    return Images(pixels.reshape(-1, 3, described.size, described.size), described)


def opened(data: bytes, where: str) -> Image.Image:
    """An image in red, green and blue, turned as its camera was.

    Args:
        data: a whole file.
        where: it comes from, for messages.

    Raises:
        ConfigError: it is none, or none that may be opened.
    """
    if len(data) > LARGEST:
        raise _refused(where, f"has {len(data):,} bytes, more than {LARGEST:,}", "make it smaller")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=FORMATS)
        with image:
            _require_usual(image, where)
            image.load()
            turned = ImageOps.exif_transpose(image)
            return (turned.convert("RGBA") if "transparency" in turned.info else turned).convert("RGB")
    except UnidentifiedImageError:
        kind = " or ".join(FORMATS)
        raise _refused(where, f"is no {kind} image" if data else "is empty", CONVERT) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _refused(where, f"has more than {MOST_PIXELS:,} pixels", "make it smaller") from None
    except DAMAGED as error:
        said = " ".join(str(error).split())[:100]
        raise _refused(where, f"is damaged: {said}", "make or copy it again, or take the row out") from None


def _require_usual(image: Image.Image, where: str) -> None:
    """What the header of an image says, before any of its pixels is made."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _refused(where, f"has more than {MOST_PIXELS:,} pixels", "make it smaller")
    if max(width, height) > LONGEST_SIDE * min(width, height):
        raise _refused(
            where,
            f"has {width} x {height} pixels: one side is more than {LONGEST_SIDE} times the other",
            "cut it, or take the row out",
        )
    if getattr(image, "n_frames", 1) > 1:
        raise _refused(where, f"holds {getattr(image, 'n_frames', 1)} images, one after another", CONVERT)
    if image.mode.startswith(("I", "F")):
        raise _refused(where, "has 16 bits a colour", "save it with 8 bits a colour, or take the row out")


def _refused(where: str, what: str, fix: str) -> ConfigError:
    return ConfigError(f"{where} {what}", fix)
